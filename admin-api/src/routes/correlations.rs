//! `admin/correlations`: from a command to its effects.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use std::collections::HashMap;

use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use http_server::{Admin, Json, Path, Problem, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::AdminApi;
use crate::events::{self, Event, Filter, Window};
use crate::problems::database;
use crate::routes::first_position;

/// Positions that one request looks through: a few tenths of a second.
const SCANNED_MAX: i64 = 100_000;

/// Events of one tree: an order has some thirty.
const EVENTS_MAX: usize = 1_000;

/// How far the clock of whoever drew a correlation id may be ahead of the database's.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new().routes(routes!(tree))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Start {
    /// The first position to look at.
    #[param(minimum = 1)]
    from_position: Option<i64>,
}

/// The events of a correlation, effects below their cause.
#[derive(Serialize, ToSchema)]
struct Correlation {
    correlation_id: String,
    /// The positions that were looked through, both inclusive. What came before or after is not
    /// in the tree.
    searched_from: i64,
    searched_to: i64,
    /// Whether that is everything after the first event that was found up to the head of the log.
    complete: bool,
    /// Those that no event of the tree caused: the command's own.
    events: Vec<Node>,
}

/// An event and what it caused.
#[derive(Serialize, ToSchema)]
struct Node {
    #[serde(flatten)]
    event: Event,
    #[schema(no_recursion)]
    effects: Vec<Node>,
}

/// The events of a correlation as a tree. Looks through 100,000 positions: from `from_position`,
/// else from when the id was drawn if it tells (a UUIDv7), else the newest.
#[utoipa::path(
    get, path = "/admin/correlations/{id}", tag = "admin", operation_id = "get_correlation",
    params(("id" = String, Path, description = "the correlation id"), Start),
    responses((status = 200, body = Correlation)),
    security(("bearer" = []))
)]
async fn tree(
    State(api): State<AdminApi>,
    _: Admin,
    Path(id): Path<String>,
    Query(Start { from_position }): Query<Start>,
) -> Result<Json<Correlation>, Problem> {
    let head = api.store.read_head().await.map_err(database)?.position;
    let first = match (first_position(from_position)?, drawn_at(&id)) {
        (Some(from), _) => from,
        (None, Some(drawn)) => events::position_at(api.pool(), head, drawn - CLOCK_SKEW)
            .await
            .map_err(database)?,
        (None, None) => (head - SCANNED_MAX).max(0) + 1,
    };
    let mut window = Window {
        after: first - 1,
        until: (first - 1).saturating_add(SCANNED_MAX).min(head),
    };
    let filter = Filter {
        correlation_id: Some(&id),
        ..Filter::default()
    };
    let limit = i64::try_from(EVENTS_MAX).unwrap_or(i64::MAX);
    let found = events::find(api.pool(), filter, window, limit).await;
    let found = found.map_err(database)?;
    let Some(last) = found.last() else {
        let until = window.until;
        let detail = format!("no event from {first} to {until} has correlation id {id}");
        return Err(Problem::not_found(detail));
    };
    if found.len() == EVENTS_MAX {
        window.until = last.position;
    }
    Ok(Json(Correlation {
        correlation_id: id,
        searched_from: first,
        searched_to: window.until,
        complete: window.until == head,
        events: nest(found),
    }))
}

/// When an id was drawn, if it tells.
fn drawn_at(id: &str) -> Option<DateTime<Utc>> {
    let id = Uuid::try_parse(id).ok()?;
    // Version 4 ids of foreign traces look like a time now and then; version 7 ids are one.
    if id.get_version_num() != 7 {
        return None;
    }
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}

/// Puts each event below the one that caused it. Causes come first in the log; an event that names
/// a later one, or none that is here, stands at the top.
fn nest(events: Vec<Event>) -> Vec<Node> {
    let places: HashMap<String, usize> = events
        .iter()
        .enumerate()
        .map(|(place, event)| (event.id.to_string(), place))
        .collect();
    let mut nodes: Vec<Node> = events
        .into_iter()
        .map(|event| Node {
            event,
            effects: Vec::new(),
        })
        .collect();
    let mut top = Vec::new();
    // From the last one: it has all its effects by the time it is moved.
    while let Some(mut node) = nodes.pop() {
        node.effects.reverse();
        let cause = node
            .event
            .causation_id
            .as_ref()
            .and_then(|id| places.get(id));
        match cause.and_then(|place| nodes.get_mut(*place)) {
            Some(cause) => cause.effects.push(node),
            None => top.push(node),
        }
    }
    top.reverse();
    top
}
