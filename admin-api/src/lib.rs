//! The operators' API: what is in the log, how those that follow it do, and what they are asked to
//! do. Everything needs role `admin`.
//!
//! Little is carried out here: a replay, a pause or a retry of a dead letter is a row, and whoever holds the lease
//! takes it up. A saga that is let go on is an append ([`sagas`]). [`events`] is also what the command line reads the
//! log with.

pub mod events;
pub mod problems;
mod routes;
pub mod sagas;

use std::sync::Arc;

use domain::fulfilment::Patience;
use eventstore::EventStore;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use utoipa_axum::router::OpenApiRouter;

/// Where the routes of [`AdminApi::router`] are nested; what `Location` headers begin with.
const API_PREFIX: &str = "/api/v1";

/// Clients that may follow the log at a time: each holds a page of events in memory.
const TAILS_MAX: usize = 64;

/// What the routes work with. Clones share everything.
#[derive(Clone)]
pub struct AdminApi {
    store: EventStore,
    patience: Patience,
    tails: Arc<Semaphore>,
}

impl AdminApi {
    /// An operators' API over the log and the tables beside it. A saga that is let go on waits as long as `patience` says,
    /// as those whose reactor it is do.
    #[must_use]
    pub fn new(store: EventStore, patience: Patience) -> Self {
        AdminApi {
            store,
            patience,
            tails: Arc::new(Semaphore::new(TAILS_MAX)),
        }
    }

    /// Every route, relative to `/api/v1`.
    pub fn router(&self) -> OpenApiRouter {
        routes::router().with_state(self.clone())
    }

    fn pool(&self) -> &PgPool {
        self.store.pool()
    }
}

/// What is documented of [`AdminApi::router`], without anything that could answer.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    routes::router().into_openapi()
}
