//! The command ids under way in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Which command ids are under way. Of two commands with one id the second waits or is told so; across
/// processes the append tells them apart.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<HashMap<Uuid, CancellationToken>>>);

/// An id under way, until dropped.
pub(crate) struct InFlight {
    registry: Registry,
    id: Uuid,
}

impl Registry {
    /// Takes the id, or hands out a token that fires when its present holder is done.
    pub(crate) fn enter(&self, id: Uuid) -> Result<InFlight, CancellationToken> {
        let mut ids = self.0.lock().expect("no panic while held");
        if let Some(done) = ids.get(&id) {
            return Err(done.clone());
        }
        ids.insert(id, CancellationToken::new());
        Ok(InFlight {
            registry: self.clone(),
            id,
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let done = self
            .registry
            .0
            .lock()
            .expect("no panic while held")
            .remove(&self.id);
        if let Some(done) = done {
            done.cancel();
        }
    }
}
