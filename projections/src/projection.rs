//! What a read model in tables does with events.

use eventstore::{EventStore, HandleError, RecordedEvent};
use sqlx::PgConnection;

use crate::recorded::Recorded;

/// What events make of the tables of a read model. Most are rows that are folded by key, and implement
/// [`Rows`](crate::rows::Rows) instead.
pub(crate) trait Projection: Send + Sync + 'static {
    /// Its tables.
    const MODEL: &'static read_models::tables::Model;
    /// The aggregate types whose events are read; those of others are passed over.
    const READS: &'static [&'static str];
    type Event: Send + Sync;

    /// Parses events, which are all of the types that are read. What changes nothing may be left out.
    fn read<'a>(
        store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> impl Future<Output = Result<Vec<Recorded<'a, Self::Event>>, HandleError>> + Send;

    /// Gives parsed events their effect on a generation, in the transaction that moves its checkpoint. The events of
    /// one stream come in order. Those of several do not where one was parked and is retried, and a retry brings again
    /// what may have been there already: so the rows themselves have to know what they have had.
    fn write(
        connection: &mut PgConnection,
        generation: i32,
        events: Vec<Recorded<'_, Self::Event>>,
    ) -> impl Future<Output = Result<(), HandleError>> + Send;
}
