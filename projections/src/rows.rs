//! Read models in tables: a batch is folded by key, then written set-wise.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::projection::Projection;
use crate::recorded::{Recorded, poison};

/// What events make of the rows of a read model that has one table.
///
/// A row may be fed by several streams. It knows the version of each, and is a function of what each has told last:
/// then it does not matter which one comes first, or comes late because it was parked.
pub(crate) trait Rows: Send + Sync + 'static {
    const MODEL: &'static Model;
    /// The aggregate types whose events are read; those of others are passed over.
    const READS: &'static [&'static str];
    type Event: Send + Sync;
    type Key: Clone + Eq + Hash + Send + Sync;
    type Row: Send + Sync;

    /// Parses events, which are all of the types that are read. What changes nothing may be left out.
    fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> impl Future<Output = Result<Vec<Recorded<'a, Self::Event>>, HandleError>> + Send;

    /// Which row an event changes; none where it changes those that [`Rows::sweep`] finds.
    fn key(recorded: &Recorded<'_, Self::Event>) -> Option<Self::Key>;

    /// Whether a row shows an event already: it shows that version of the event's stream, or a later one.
    fn shows(row: &Self::Row, recorded: &Recorded<'_, Self::Event>) -> bool;

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

    /// Gives events that have no key their effect, after all others of the batch. Twice must be as once.
    fn sweep(
        _connection: &mut PgConnection,
        _generation: i32,
        _events: Vec<Recorded<'_, Self::Event>>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send {
        async { Ok(()) }
    }
}

impl<R: Rows> Projection for R {
    const MODEL: &'static Model = R::MODEL;
    const READS: &'static [&'static str] = R::READS;
    type Event = R::Event;

    async fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, R::Event>>, HandleError> {
        R::read(store, events).await
    }

    async fn write(
        connection: &mut PgConnection,
        generation: i32,
        events: Vec<Recorded<'_, R::Event>>,
    ) -> Result<(), HandleError> {
        fold::<R>(connection, generation, events).await
    }
}

/// A thousand changes of one row are one write. Events that a row shows already are passed over, so doing it twice
/// is doing it once.
async fn fold<R: Rows>(
    connection: &mut PgConnection,
    generation: i32,
    events: Vec<Recorded<'_, R::Event>>,
) -> Result<(), HandleError> {
    let keys: HashSet<R::Key> = events.iter().filter_map(R::key).collect();
    let keys: Vec<R::Key> = keys.into_iter().collect();
    let mut rows = if keys.is_empty() {
        HashMap::new()
    } else {
        R::load(connection, generation, &keys).await?
    };
    let mut changed = HashSet::new();
    let mut sweeping = Vec::new();
    for recorded in events {
        let Some(key) = R::key(&recorded) else {
            sweeping.push(recorded);
            continue;
        };
        if rows.get(&key).is_some_and(|row| R::shows(row, &recorded)) {
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
    if !sweeping.is_empty() {
        R::sweep(connection, generation, sweeping).await?;
    }
    Ok(())
}
