//! The routes, one file a resource, each beginning with its `router()`.

mod analytics;
mod categories;
mod deliveries;
mod inventory;
mod notifications;
mod order_events;
mod orders;
mod payments;
mod products;
mod search;
mod suggest;
mod timeline;
mod users;

use http_server::Page;
use utoipa_axum::router::OpenApiRouter;

use crate::QueryApi;

/// Every route, relative to `/api/v1`.
pub(crate) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new()
        .merge(users::router())
        .merge(products::router())
        .merge(search::router())
        .merge(suggest::router())
        .merge(categories::router())
        .merge(inventory::router())
        .merge(orders::router())
        .merge(payments::router())
        .merge(deliveries::router())
        .merge(notifications::router())
        .merge(timeline::router())
        .merge(order_events::router())
        .merge(analytics::router())
}

/// Rows to fetch for a page: one more than it shows tells whether there is a next one.
fn rows_max(page: &Page) -> i64 {
    i64::try_from(page.limit + 1).unwrap_or(i64::MAX)
}

/// A filter that is given without a value, as forms send them, is none.
fn filled(value: Option<&str>) -> Option<&str> {
    value.filter(|value| !value.is_empty())
}
