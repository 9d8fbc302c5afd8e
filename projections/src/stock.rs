//! `stock`: one row a store and SKU.

use std::collections::HashMap;

use cqrs_es::Aggregate;
use domain::Stock;
use domain::stock::Event;
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::stock::{self, Key, Stock as Row};
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::recorded::{self, Recorded};
use crate::rows::Rows;

pub(crate) struct StockLevels;

impl Rows for StockLevels {
    const MODEL: &'static Model = &stock::MODEL;
    const READS: &'static [&'static str] = &[Stock::TYPE];
    type Event = Row;
    type Key = Key;
    type Row = Row;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Row>>, HandleError> {
        let read = |event| recorded::read(event).map(levels);
        events.iter().copied().map(read).collect()
    }

    fn key(recorded: &Recorded<'_, Row>) -> Option<Key> {
        Some(recorded.event.key())
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Row>) -> bool {
        row.version >= recorded.version
    }

    fn apply(_row: Option<Row>, recorded: Recorded<'_, Row>) -> Result<Row, &'static str> {
        Ok(recorded.event)
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[Key],
    ) -> sqlx::Result<HashMap<Key, Row>> {
        stock::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        stock::upsert(connection, generation, rows).await
    }
}

/// The row as an event leaves it: each carries the levels after it, so the last one is all that counts.
pub(crate) fn levels(recorded: Recorded<'_, Event>) -> Recorded<'_, Row> {
    let version = recorded.version;
    recorded.map(|event| match &event {
        Event::Received { .. }
        | Event::Adjusted { .. }
        | Event::Reserved { .. }
        | Event::Released { .. }
        | Event::Committed { .. }
        | Event::Returned { .. }
        | Event::LowStock { .. }
        | Event::OutOfStock { .. } => {
            let (store_id, sku, levels) = event.levels();
            Row {
                store_id: store_id.as_str().to_owned(),
                sku: sku.as_str().to_owned(),
                on_hand: levels.on_hand.into(),
                reserved: levels.reserved.into(),
                available: levels.available().into(),
                version,
            }
        }
    })
}
