//! The states in memory, bounded by what they weigh.

use lru::LruCache;

use super::Versioned;
use crate::stream::{State, StreamKey};

/// What the states in memory may weigh together. Beyond it the one not used for longest goes, and costs a read when it is
/// needed.
const CACHED_BYTES_MAX: usize = 32 << 20;

/// A state in memory takes some three times its JSON: each of its texts is an allocation of its own.
const BYTES_PER_JSON_BYTE: usize = 3;

/// What a stream's entry takes whatever its state is: the key, its place in table and list, allocations.
const BYTES_PER_ENTRY: usize = 256;

/// States by stream, those used last first.
pub(super) struct Cached {
    states: LruCache<StreamKey, Kept>,
    bytes: usize,
    bytes_max: usize,
}

struct Kept {
    now: Versioned,
    bytes: usize,
}

impl Default for Cached {
    fn default() -> Self {
        Self::with_bytes_max(CACHED_BYTES_MAX)
    }
}

impl Cached {
    fn with_bytes_max(bytes_max: usize) -> Self {
        Self {
            states: LruCache::unbounded(),
            bytes: 0,
            bytes_max,
        }
    }

    pub(super) fn get(&mut self, key: &StreamKey) -> Option<&Versioned> {
        self.states.get(key).map(|kept| &kept.now)
    }

    pub(super) fn forget(&mut self, key: &StreamKey) {
        if let Some(kept) = self.states.pop(key) {
            self.bytes -= kept.bytes;
        }
    }

    /// Keeps a state; `to_json` is how it is weighed.
    pub(super) fn put(
        &mut self,
        key: StreamKey,
        now: Versioned,
        to_json: fn(&State) -> serde_json::Result<String>,
    ) {
        if let Some(kept) = self.states.get_mut(&key)
            && !is_weighed_anew(&kept.now, &now)
        {
            kept.now = now;
            return;
        }
        self.forget(&key);
        let json = to_json(&now.state).map_or(0, |json| json.len());
        let bytes = BYTES_PER_ENTRY + json * BYTES_PER_JSON_BYTE;
        self.bytes += bytes;
        self.states.put(key, Kept { now, bytes });
        // The newest stays, however heavy it is: its next command needs it.
        while self.bytes > self.bytes_max && self.states.len() > 1 {
            let Some((_, oldest)) = self.states.pop_lru() else {
                return;
            };
            self.bytes -= oldest.bytes;
        }
    }
}

/// Weighing a hot stream on each commit would cost more than it is worth: once when its length has doubled.
fn is_weighed_anew(before: &Versioned, now: &Versioned) -> bool {
    before.version.max(1).ilog2() != now.version.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stream::downcast;

    fn key(id: usize) -> StreamKey {
        StreamKey {
            aggregate_type: "note",
            aggregate_id: id.to_string().into(),
        }
    }

    fn put(cached: &mut Cached, id: usize, version: i64, length: usize) {
        let state: State = Arc::new("x".repeat(length));
        let to_json = |state: &State| serde_json::to_string(downcast::<String>(state));
        cached.put(key(id), Versioned { state, version }, to_json);
    }

    #[test]
    fn what_all_weigh_is_bounded_and_the_oldest_go() {
        let mut cached = Cached::with_bytes_max(100_000);
        for id in 0..1_000 {
            put(&mut cached, id, 1, 1_000);
            assert!(cached.get(&key(0)).is_some(), "used again and again");
        }
        assert!(cached.bytes <= 100_000);
        assert!((20..=31).contains(&cached.states.len()));
        assert!(cached.get(&key(1)).is_none());
        assert!(cached.get(&key(999)).is_some());

        let ids: Vec<StreamKey> = cached.states.iter().map(|(key, _)| key.clone()).collect();
        ids.iter().for_each(|key| cached.forget(key));
        assert_eq!(cached.bytes, 0);
    }

    #[test]
    fn a_state_that_grows_is_weighed_again() {
        let mut cached = Cached::with_bytes_max(10_000);
        for version in 1..=64 {
            put(
                &mut cached,
                1,
                version,
                usize::try_from(version).unwrap() * 40,
            );
        }
        assert!(cached.bytes > 64 * 40 * BYTES_PER_JSON_BYTE);
        put(&mut cached, 2, 1, 50_000);
        assert_eq!(cached.states.len(), 1, "too heavy by itself, and kept");
        assert!(cached.get(&key(2)).is_some());
    }
}
