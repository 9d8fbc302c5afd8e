//! A generation in tables.

use std::marker::PhantomData;

use async_trait::async_trait;
use eventstore::{Checkpoint, EventStore, HandleError, RecordedEvent};
use read_models::checkpoints::{self, AdvanceError};
use read_models::generations::schema_name;

use super::{Generation, OpenError, from_rest, later, of_types, to_rest};
use crate::rows::{self, Rows};

/// Rows and checkpoint change in one transaction. The checkpoint moves first: its row is the lock that lets two
/// writers, one of whom has lost the lease without knowing, only come one after the other, and the condition on
/// its position lets the late one change nothing.
pub(crate) struct Tables<R> {
    store: EventStore,
    consumer: String,
    number: i32,
    checkpoint: Checkpoint,
    rows: PhantomData<fn() -> R>,
}

impl<R: Rows> Tables<R> {
    /// Opens a generation where its last transaction left it.
    pub(crate) async fn open(
        store: &EventStore,
        consumer: &str,
        number: i32,
    ) -> Result<Self, OpenError> {
        let pool = store.pool();
        let schema = schema_name(consumer, number);
        let exists: bool =
            sqlx::query_scalar("select exists (select from pg_namespace where nspname = $1)")
                .bind(&schema)
                .fetch_one(pool)
                .await?;
        let checkpoint = checkpoints::read(pool, consumer, number).await?;
        let Some(checkpoint) = checkpoint.filter(|_| exists) else {
            return Err(OpenError::Damaged(format!(
                "the tables of {consumer}, generation {number}, are not there"
            )));
        };
        Ok(Self {
            store: store.clone(),
            consumer: consumer.to_owned(),
            number,
            checkpoint: from_rest(checkpoint),
            rows: PhantomData,
        })
    }
}

#[async_trait]
impl<R: Rows> Generation for Tables<R> {
    fn number(&self) -> i32 {
        self.number
    }

    fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        let events = of_types(events, &[R::READS]);
        let events = R::read(&self.store, &events).await?;
        let to = later(&self.checkpoint, upto);
        let mut transaction = self.store.pool().begin().await?;
        checkpoints::advance(
            &mut *transaction,
            &self.consumer,
            self.number,
            &to_rest(&self.checkpoint),
            &to_rest(&to),
        )
        .await
        .map_err(|error| match error {
            AdvanceError::Fenced { .. } => HandleError::Fenced(error.to_string()),
            AdvanceError::Database(error) => error.into(),
        })?;
        rows::write::<R>(&mut transaction, self.number, events).await?;
        transaction.commit().await?;
        self.checkpoint = to;
        Ok(())
    }
}
