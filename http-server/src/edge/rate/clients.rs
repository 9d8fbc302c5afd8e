//! The buckets of a bounded number of clients.

use std::net::IpAddr;
use std::sync::Arc;

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Subject(String),
    Address(IpAddr),
    /// All that came when there was no room any more.
    Newcomers,
}

/// A bucket for each client. Cheap to clone.
#[derive(Clone)]
pub(super) struct Clients {
    buckets: Arc<DashMapStateStore<Client>>,
    max: usize,
}

impl Clients {
    pub(super) fn new(max: usize) -> Self {
        Clients {
            buckets: Arc::default(),
            max,
        }
    }

    /// Whether it has a bucket, or there is room for one. Requests at the same instant may see the same last place.
    pub(super) fn have_room_for(&self, client: &Client) -> bool {
        self.buckets.contains_key(client) || self.buckets.len() < self.max
    }
}

impl StateStore for Clients {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.buckets.measure_and_replace(client, measure)
    }
}

impl ShrinkableKeyedStateStore<Client> for Clients {
    fn retain_recent(&self, drop_below: Nanos) {
        self.buckets.retain_recent(drop_below);
    }

    fn len(&self) -> usize {
        self.buckets.len()
    }

    fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }
}
