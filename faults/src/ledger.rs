//! A read model in which every mistake of a feed or a runner shows: for each stream the positions that had their effect, in
//! the order in which they had it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventstore::{Checkpoint, HandleError, Handler, RecordedEvent};
use sqlx::{PgPool, PgTransaction};

/// For each stream, by its id, the positions in the order of their effects.
pub type Entries = BTreeMap<String, Vec<i64>>;

/// Positions of events that cannot be handled for the time being. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Poison(Arc<Mutex<BTreeSet<i64>>>);

impl Poison {
    /// These.
    pub fn at(positions: impl IntoIterator<Item = i64>) -> Self {
        Self(Arc::new(Mutex::new(positions.into_iter().collect())))
    }

    /// From now on everything can be handled.
    ///
    /// # Panics
    /// Never: nothing panics while it is held.
    pub fn mend(&self) {
        self.0.lock().expect("no panic while held").clear();
    }

    fn first_of(&self, events: &[RecordedEvent]) -> Option<i64> {
        let poison = self.0.lock().expect("no panic while held");
        let mut positions = events.iter().map(|event| event.position);
        positions.find(|position| poison.contains(position))
    }
}

/// Entries and checkpoint in one transaction, in the tables `ledger` and `checkpoints`.
#[derive(Debug)]
pub struct Ledger {
    pool: PgPool,
    consumer: String,
    poison: Poison,
    checkpoint: Checkpoint,
}

impl Ledger {
    /// The ledger of a consumer, in a database that has been [prepared](Ledger::prepare).
    pub fn new(pool: &PgPool, consumer: impl Into<String>, poison: Poison) -> Self {
        Self {
            pool: pool.clone(),
            consumer: consumer.into(),
            poison,
            checkpoint: Checkpoint::START,
        }
    }

    /// Makes the table for all ledgers of a database.
    ///
    /// # Errors
    /// As the database says.
    pub async fn prepare(pool: &PgPool) -> sqlx::Result<()> {
        sqlx::query(
            "create table ledger (
               consumer text not null, stream text not null, positions bigint[] not null,
               primary key (consumer, stream)
             )",
        )
        .execute(pool)
        .await?;
        Ok(())
    }

    /// What is in the ledger of a consumer.
    ///
    /// # Errors
    /// As the database says.
    pub async fn entries(pool: &PgPool, consumer: &str) -> sqlx::Result<Entries> {
        let rows: Vec<(String, Vec<i64>)> =
            sqlx::query_as("select stream, positions from ledger where consumer = $1")
                .bind(consumer)
                .fetch_all(pool)
                .await?;
        Ok(rows.into_iter().collect())
    }

    /// Moves the checkpoint, or where it stays makes sure that it is where it was. The row is locked by it.
    async fn advance(
        &self,
        transaction: &mut PgTransaction<'_>,
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        let moved = sqlx::query(
            "insert into checkpoints as c (consumer, position, event_id) values ($1, $2, $3)
             on conflict (consumer, generation, log) do update
             set position = excluded.position, event_id = excluded.event_id where c.position = $4",
        )
        .bind(&self.consumer)
        .bind(upto.position)
        .bind(upto.event_id)
        .bind(self.checkpoint.position)
        .execute(&mut **transaction)
        .await?;
        if moved.rows_affected() == 0 {
            let reason = format!("the checkpoint is not at {}", self.checkpoint.position);
            return Err(HandleError::Fenced(reason));
        }
        Ok(())
    }

    /// What came again, as a retry that was broken off does, is known by the stream's last position.
    async fn enter(
        &self,
        transaction: &mut PgTransaction<'_>,
        events: &[RecordedEvent],
    ) -> sqlx::Result<()> {
        let streams: Vec<&str> = events.iter().map(|it| it.aggregate_id.as_str()).collect();
        let positions: Vec<i64> = events.iter().map(|event| event.position).collect();
        sqlx::query(
            "insert into ledger as l (consumer, stream, positions)
             select $1, e.stream, array_agg(e.position order by e.o)
             from unnest($2::text[], $3::bigint[]) with ordinality e (stream, position, o)
             where e.position > coalesce((
               select k.positions[cardinality(k.positions)] from ledger k
               where k.consumer = $1 and k.stream = e.stream
             ), 0)
             group by e.stream
             on conflict (consumer, stream) do update set positions = l.positions || excluded.positions",
        )
        .bind(&self.consumer)
        .bind(streams)
        .bind(positions)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Handler for Ledger {
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        self.checkpoint = Checkpoint::read(&self.pool, &self.consumer, 0).await?;
        Ok(self.checkpoint)
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        let mut transaction = eventstore::begin(&self.pool).await?;
        self.advance(&mut transaction, upto).await?;
        self.enter(&mut transaction, events).await?;
        // Last, so that what was written before it has to be taken back.
        if let Some(position) = self.poison.first_of(events) {
            transaction.rollback().await?;
            let error = "no such colour".to_owned();
            return Err(HandleError::Poison { position, error });
        }
        fail::fail_point!("ledger-written");
        transaction.commit().await?;
        fail::fail_point!("ledger-committed");
        self.checkpoint = *upto;
        Ok(())
    }
}
