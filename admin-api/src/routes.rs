//! The routes, one file a resource, each beginning with its `router()`.

mod correlations;
mod dead_letters;
mod events;
mod outbox;
mod projections;
mod replays;
mod sagas;
mod streams;
mod tail;

use axum::middleware::from_fn;
use http_server::{Page, Problem};
use utoipa_axum::router::OpenApiRouter;

use crate::AdminApi;

/// Every route, relative to `/api/v1`. What changes something is carried out even if its client
/// goes away.
pub(crate) fn router() -> OpenApiRouter<AdminApi> {
    let commands = OpenApiRouter::new()
        .merge(projections::commands())
        .merge(dead_letters::commands())
        .merge(sagas::commands())
        .route_layer(from_fn(http_server::detach));
    OpenApiRouter::new()
        .merge(streams::router())
        .merge(events::router())
        .merge(tail::router())
        .merge(correlations::router())
        .merge(projections::router())
        .merge(replays::router())
        .merge(outbox::router())
        .merge(dead_letters::router())
        .merge(sagas::router())
        .merge(commands)
}

/// The position to begin at, where one is given.
fn first_position(given: Option<i64>) -> Result<Option<i64>, Problem> {
    match given {
        Some(position) if position < 1 => {
            Err(Problem::bad_request("from_position: positions begin at 1"))
        }
        given => Ok(given),
    }
}

/// Rows to fetch for a page: one more than it shows tells whether there is a next one.
fn rows_max(page: &Page) -> i64 {
    i64::try_from(page.limit + 1).unwrap_or(i64::MAX)
}
