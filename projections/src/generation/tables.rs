//! A generation in tables.

use std::marker::PhantomData;

use async_trait::async_trait;
use eventstore::{Checkpoint, EventStore, HandleError, RecordedEvent};
use read_models::checkpoints::{self, AdvanceError};

use super::{Generation, OpenError, from_rest, later, of_types, to_rest};
use crate::projection::Projection;
use crate::transaction;

/// PostgreSQL's code for a table that is not there (`undefined_table`).
const UNDEFINED_TABLE: &str = "42P01";

/// Rows and checkpoint change in one transaction. The checkpoint moves first: its row is the lock that lets two
/// writers, one of whom has lost the lease without knowing, only come one after the other, and the conditions on
/// its position and on the lease's epoch let the late one change nothing.
pub(crate) struct Tables<P> {
    store: EventStore,
    number: i32,
    /// Of the lease that lets it write.
    epoch: i64,
    checkpoint: Checkpoint,
    projection: PhantomData<fn() -> P>,
}

impl<P: Projection> Tables<P> {
    /// Opens a generation where its last transaction left it.
    pub(crate) async fn open(
        store: &EventStore,
        number: i32,
        epoch: i64,
    ) -> Result<Self, OpenError> {
        let (pool, consumer) = (store.pool(), P::MODEL.name);
        let exists = P::MODEL.has_generation(pool, number).await?;
        let checkpoint = checkpoints::read(pool, consumer, number).await?;
        let Some(checkpoint) = checkpoint.filter(|_| exists) else {
            return Err(OpenError::Damaged(not_there(consumer, number)));
        };
        Ok(Self {
            store: store.clone(),
            number,
            epoch,
            checkpoint: from_rest(checkpoint),
            projection: PhantomData,
        })
    }

    /// A table that somebody has dropped comes back by no retry: whoever opens the generation again finds out
    /// that it is damaged, and has it built anew.
    fn sort(&self, error: HandleError) -> HandleError {
        if let HandleError::Transient(cause) = &error
            && is_undefined_table(cause)
        {
            return HandleError::Fenced(not_there(P::MODEL.name, self.number));
        }
        error
    }
}

fn is_undefined_table(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<sqlx::Error>();
    let code = error.and_then(|error| error.as_database_error()?.code());
    code.as_deref() == Some(UNDEFINED_TABLE)
}

fn not_there(consumer: &str, number: i32) -> String {
    format!("the tables of {consumer}, generation {number}, are not there")
}

#[async_trait]
impl<P: Projection> Generation for Tables<P> {
    fn number(&self) -> i32 {
        self.number
    }

    fn reads(&self) -> &'static [&'static str] {
        P::READS
    }

    fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        let events = of_types(events, P::READS);
        let events = P::read(&self.store, &events).await?;
        let to = later(&self.checkpoint, upto);
        let mut transaction = transaction::begin(self.store.pool()).await?;
        checkpoints::advance(
            &mut *transaction,
            P::MODEL.name,
            self.number,
            self.epoch,
            &to_rest(&self.checkpoint),
            &to_rest(&to),
        )
        .await
        .map_err(|error| match error {
            AdvanceError::Fenced { .. } => HandleError::Fenced(error.to_string()),
            AdvanceError::Database(error) => error.into(),
        })?;
        fail::fail_point!("projection-checkpoint-moved");
        let written = P::write(&mut transaction, self.number, events).await;
        written.map_err(|error| self.sort(error))?;
        fail::fail_point!("projection-rows-written");
        transaction.commit().await?;
        fail::fail_point!("projection-committed");
        self.checkpoint = to;
        Ok(())
    }
}
