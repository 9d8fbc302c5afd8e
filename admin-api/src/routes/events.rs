//! `admin/events`: the log by position.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{Admin, Json, List, Page, Problem, Query};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AdminApi;
use crate::events::{self, Event, Filter, Window};
use crate::problems::database;
use crate::routes::{first_position, rows_max};

/// Positions that one request looks through: a few tenths of a second.
const SCANNED_MAX: i64 = 100_000;

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Event type, as `product.created`.
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Events of one correlation.
    correlation_id: Option<String>,
    /// The first position to look at, 1 if not given.
    #[param(minimum = 1)]
    from_position: Option<i64>,
}

/// Events in position order. A request looks through at most 100,000 of them: a page may be short,
/// even empty, and yet have a `next_cursor`.
#[utoipa::path(
    get, path = "/admin/events", tag = "admin", operation_id = "list_events",
    params(EventsQuery, PageQuery),
    responses((status = 200, body = List<Event>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<AdminApi>,
    _: Admin,
    Query(query): Query<EventsQuery>,
    page: Page,
) -> Result<Json<List<Event>>, Problem> {
    let from = first_position(query.from_position)?.unwrap_or(1);
    let after: i64 = page.cursor()?.unwrap_or(from - 1);
    let head = api.store.read_head().await.map_err(database)?.position;
    let window = Window {
        after,
        until: after.saturating_add(SCANNED_MAX).min(head),
    };
    let filter = Filter {
        event_type: query.event_type.as_deref(),
        correlation_id: query.correlation_id.as_deref(),
        ..Filter::default()
    };
    let found = events::find(api.pool(), filter, window, rows_max(&page)).await;
    let mut events = found.map_err(database)?;
    let next = if events.len() > page.limit {
        events.truncate(page.limit);
        events.last().map(|event| event.position)
    } else {
        (window.until < head).then_some(window.until)
    };
    Ok(Json(List::scanned(events, next.as_ref())))
}
