//! States for those who only look: as the log has them now, not as this process happened to see them last.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{Folded, Loading, StateCache, Versioned};
use crate::stream::{State, StreamKey, StreamReference};

impl StateCache {
    /// The states of all these streams as the log has them now. What is in memory is where reading begins: it costs one
    /// query, of what other processes have appended since, or more where histories are longer than a page.
    pub(crate) async fn current(
        &self,
        connection: &mut PgConnection,
        streams: &[StreamReference],
    ) -> sqlx::Result<HashMap<StreamKey, Folded>> {
        let mut found = HashMap::with_capacity(streams.len());
        let mut loading = Vec::with_capacity(streams.len());
        for stream in streams {
            // Holds the place, so that a stream named twice is read once.
            let twice = found.insert(stream.key.clone(), Err(String::new()));
            if twice.is_some() {
                continue;
            }
            let mut begun = Loading::new(stream, self.shape(stream.key.aggregate_type));
            if let Some(known) = self.states().get(&stream.key).cloned() {
                begun.begin_at(known.state, known.version);
                begun.shape = None;
            }
            loading.push(begun);
        }
        while !loading.is_empty() {
            loading = self.load_page(connection, loading, &mut found).await?;
        }
        Ok(found)
    }

    /// Keeps a state that was read, unless a newer one was committed meanwhile.
    pub(super) fn put_newer(
        &self,
        key: StreamKey,
        state: Versioned,
        to_snapshot: fn(&State) -> serde_json::Result<String>,
    ) {
        let mut states = self.states();
        let known = states.get(&key).map_or(0, |known| known.version);
        if known <= state.version {
            states.put(key, state, to_snapshot);
        }
    }
}
