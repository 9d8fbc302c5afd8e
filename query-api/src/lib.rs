//! Queries: GET only, answered from the read models, never from the log.
//!
//! One file a resource under `routes`. Every query honours `Nakku-Min-Position` and says in
//! `Nakku-Position` how far the read model that answered had come (`reading`).

mod answer;
mod reading;
mod routes;
mod searching;
mod sums;
mod watched_orders;

use std::io;
use std::path::Path;

use read_models::search::{DirectoryId, SearchReader};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use searching::Searches;
use sums::Sums;
use watched_orders::WatchedOrders;

/// What the queries read from. Clones share everything.
#[derive(Clone)]
pub struct QueryApi {
    pool: PgPool,
    sums: Sums,
    searches: Searches,
    watched_orders: WatchedOrders,
}

impl QueryApi {
    /// Opens the read models of a database and the search index of a data directory, which is
    /// followed until `shutdown`. Neither has to be there yet: until then queries are answered 503
    /// `projection-behind`.
    ///
    /// # Errors
    /// If the data directory can neither be read nor written, with its path in the message.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn open(
        pool: PgPool,
        data_directory: &Path,
        shutdown: CancellationToken,
    ) -> io::Result<Self> {
        let id = DirectoryId::ensure(data_directory).map_err(|error| {
            let directory = data_directory.display();
            io::Error::new(error.kind(), format!("data directory {directory}: {error}"))
        })?;
        searching::describe_metrics();
        let reader = SearchReader::new();
        let following = {
            let (reader, pool) = (reader.clone(), pool.clone());
            let directory = data_directory.to_owned();
            async move { reader.follow(&pool, &directory, &id.consumer()).await }
        };
        let watched_orders = WatchedOrders::default();
        let watching = {
            let (pool, watched_orders) = (pool.clone(), watched_orders.clone());
            async move { watched_orders.keep_looking(&pool).await }
        };
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(watching));
        tokio::spawn(shutdown.run_until_cancelled_owned(following));
        Ok(QueryApi {
            sums: Sums::new(pool.clone()),
            pool,
            searches: Searches::new(reader),
            watched_orders,
        })
    }

    /// Every route, relative to `/api/v1`.
    pub fn router(&self) -> OpenApiRouter {
        routes::router().with_state(self.clone())
    }

    /// The reader of the index that searches are answered from. A writer in this process notifies
    /// it after each commit, and searches see that at once.
    pub fn search_reader(&self) -> &SearchReader {
        self.searches.reader()
    }
}

impl std::fmt::Debug for QueryApi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryApi")
            .field("search", self.search_reader())
            .finish_non_exhaustive()
    }
}

/// What is documented of [`QueryApi::router`], without anything that could answer.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    routes::router().into_openapi()
}
