//! Read models in tables: a batch is folded by key, then written set-wise.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use eventstore::{EventStore, HandleError, RecordedEvent};
use sqlx::PgConnection;

use crate::recorded::{Recorded, poison};

/// What events make of the rows of one read model.
pub(crate) trait Rows: Send + Sync + 'static {
    /// The aggregate type whose events are read; those of others are passed over.
    const READS: &'static str;
    /// The table of a generation that holds the rows.
    const TABLE: &'static str;
    type Event: Send + Sync;
    type Key: Clone + Eq + Hash + Send + Sync;
    type Row: Send + Sync;

    /// Parses the events, which are all of the type that is read.
    fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> impl Future<Output = Result<Vec<Recorded<'a, Self::Event>>, HandleError>> + Send;

    /// Which row an event changes.
    fn key(recorded: &Recorded<'_, Self::Event>) -> Self::Key;

    /// The version of the stream that a row shows.
    fn version(row: &Self::Row) -> i64;

    /// The row after an event, or why it cannot have one.
    fn apply(
        row: Option<Self::Row>,
        recorded: Recorded<'_, Self::Event>,
    ) -> Result<Self::Row, &'static str>;

    /// The rows of these keys, as far as they exist.
    fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[Self::Key],
    ) -> impl Future<Output = sqlx::Result<HashMap<Self::Key, Self::Row>>> + Send;

    /// Writes rows, replacing those of the same key.
    fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Self::Row],
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
}

/// Gives parsed events their effect on a generation: a thousand changes of one row are one write. Events that
/// a row shows already are passed over, so doing it twice is doing it once.
pub(crate) async fn write<R: Rows>(
    connection: &mut PgConnection,
    generation: i32,
    events: Vec<Recorded<'_, R::Event>>,
) -> Result<(), HandleError> {
    let keys: HashSet<R::Key> = events.iter().map(R::key).collect();
    let keys: Vec<R::Key> = keys.into_iter().collect();
    let mut rows = R::load(connection, generation, &keys).await?;
    let mut changed = HashSet::new();
    for recorded in events {
        let key = R::key(&recorded);
        if rows
            .get(&key)
            .is_some_and(|row| R::version(row) >= recorded.version)
        {
            continue;
        }
        let position = recorded.position;
        let row = R::apply(rows.remove(&key), recorded).map_err(|error| poison(position, error))?;
        rows.insert(key.clone(), row);
        changed.insert(key);
    }
    let changed: Vec<R::Row> = changed.iter().filter_map(|key| rows.remove(key)).collect();
    if !changed.is_empty() {
        R::upsert(connection, generation, &changed).await?;
    }
    Ok(())
}
