//! Of what there is little.

use domain::stock::{Event, LOW_STOCK_THRESHOLD};
use eventstore::HandleError;
use read_models::analytics::low_stock::{self, Level};
use read_models::stock::Key;
use sqlx::PgConnection;

use super::changes;
use crate::recorded::Recorded;

/// How much there is after an event.
pub(crate) struct Change {
    key: Key,
    available: i64,
    /// As the event tells it, where it does.
    threshold: Option<i64>,
}

pub(super) fn change(event: &Event) -> Change {
    let threshold = match event {
        Event::LowStock { threshold, .. } => Some(i64::from(*threshold)),
        Event::Received { .. }
        | Event::Adjusted { .. }
        | Event::Reserved { .. }
        | Event::Released { .. }
        | Event::Committed { .. }
        | Event::Returned { .. }
        | Event::OutOfStock { .. } => None,
    };
    let (store_id, sku, levels) = event.levels();
    Change {
        key: Key {
            store_id: store_id.as_str().to_owned(),
            sku: sku.as_str().to_owned(),
        },
        available: levels.available().into(),
        threshold,
    }
}

impl changes::Row for Level {
    fn version(&self) -> i64 {
        self.version
    }
}

pub(super) async fn write(
    connection: &mut PgConnection,
    generation: i32,
    events: Vec<Recorded<'_, Change>>,
) -> Result<(), HandleError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<Key> = events.iter().map(|it| it.event.key.clone()).collect();
    keys.sort_unstable();
    keys.dedup();
    let known = low_stock::load(&mut *connection, generation, &keys).await?;
    let key = |it: &Recorded<'_, Change>| it.event.key.clone();
    let changed = changes::fold(known, events, key, |row, recorded| {
        Ok(apply(row.as_ref(), recorded))
    })?;
    low_stock::upsert(connection, generation, &changes::after(changed)).await?;
    Ok(())
}

fn apply(row: Option<&Level>, recorded: Recorded<'_, Change>) -> Option<Level> {
    let Change {
        key,
        available,
        threshold,
    } = recorded.event;
    let threshold = threshold.or(row.map(|row| row.threshold));
    let level = Level {
        store_id: key.store_id,
        sku: key.sku,
        available,
        threshold: threshold.unwrap_or(LOW_STOCK_THRESHOLD.into()),
        version: recorded.version,
    };
    // Of what there was always enough there is no row.
    (row.is_some() || level.is_low()).then_some(level)
}
