//! Folding events into rows, and what is new in these.

use std::collections::HashMap;
use std::hash::Hash;

use eventstore::HandleError;

use crate::recorded::{Recorded, poison};

/// A row that knows which version of its stream it shows.
pub(super) trait Row: Clone {
    fn version(&self) -> i64;
}

/// A row that events have changed.
pub(super) struct Changed<R> {
    pub(super) before: Option<R>,
    pub(super) after: R,
}

/// Applies events to the rows that are there, in their order. Those that a row shows already are passed over. `apply` may
/// leave an event without a row where there is none yet.
pub(super) fn fold<K: Clone + Eq + Hash, R: Row, E>(
    mut rows: HashMap<K, R>,
    events: Vec<Recorded<'_, E>>,
    key: impl Fn(&Recorded<'_, E>) -> K,
    apply: impl Fn(Option<R>, Recorded<'_, E>) -> Result<Option<R>, &'static str>,
) -> Result<Vec<Changed<R>>, HandleError> {
    let mut before = HashMap::new();
    for recorded in events {
        let key = key(&recorded);
        if rows
            .get(&key)
            .is_some_and(|row| row.version() >= recorded.version)
        {
            continue;
        }
        let row = rows.remove(&key);
        before.entry(key.clone()).or_insert_with(|| row.clone());
        let position = recorded.position;
        if let Some(row) = apply(row, recorded).map_err(|error| poison(position, error))? {
            rows.insert(key, row);
        }
    }
    let changed = before.into_iter().filter_map(|(key, before)| {
        let after = rows.remove(&key)?;
        Some(Changed { before, after })
    });
    Ok(changed.collect())
}

/// The rows as they are now.
pub(super) fn after<R>(changed: Vec<Changed<R>>) -> Vec<R> {
    changed.into_iter().map(|changed| changed.after).collect()
}

/// Ids of the streams, each once.
pub(super) fn ids<'a, E>(events: &[Recorded<'a, E>]) -> Vec<&'a str> {
    let mut ids: Vec<&str> = events.iter().map(|recorded| recorded.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
