//! `admin/events/tail`: the log as it grows (server-sent events).

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use eventstore::{EventStore, RecordedEvent};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http_server::token::TOKEN_LIFETIME;
use http_server::{Admin, Problem, Query, headers};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AdminApi;
use crate::events::Event;
use crate::problems::database;
use crate::routes::first_position;

/// Between two signs of life while nothing happens: below the idle time-out of every proxy.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Events read at once: what a client that does not read holds in memory.
const PAGE: i64 = 256;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new().routes(routes!(tail))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TailQuery {
    /// The first position to send; without it, and without `Last-Event-ID`, only what is new.
    #[param(minimum = 1)]
    from_position: Option<i64>,
}

/// A message of the stream.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the document only")]
struct Message {
    /// The event's position; the last one that arrived is what `Last-Event-ID` takes.
    id: String,
    /// The event as JSON, as in `admin/events`.
    data: String,
}

/// Events as they are appended: each message is an event as JSON, its id the position. Ends after
/// 15 minutes, to be resumed with a fresh token.
#[utoipa::path(
    get, path = "/admin/events/tail", tag = "admin", operation_id = "tail_events",
    params(
        TailQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "the last position that arrived")
    ),
    responses((status = 200, body = Message, content_type = "text/event-stream")),
    security(("bearer" = []))
)]
async fn tail(
    State(api): State<AdminApi>,
    _: Admin,
    Query(query): Query<TailQuery>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let from = first_position(query.from_position)?;
    let permit = api.tails.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Problem::overloaded())?;
    let head = api.store.read_head().await.map_err(database)?.position;
    let after = match (last_event_id(&headers)?, from) {
        (Some(last), _) => last,
        (None, Some(from)) => from - 1,
        (None, None) => head,
    };
    if after > head {
        // Waiting for it could take for ever, and then skip what a rewound log holds there.
        let detail = format!("position {after} is beyond the head of the log, {head}");
        return Err(Problem::bad_request(detail));
    }
    let events =
        follow(api.store.clone(), after, permit).take_until(tokio::time::sleep(TOKEN_LIFETIME));
    let no_store = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let messages = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok(([no_store], messages))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(text) = headers::single(headers, &LAST_EVENT_ID)? else {
        return Ok(None);
    };
    let position = text.parse::<i64>().ok().filter(|position| *position >= 0);
    let foreign = || Problem::bad_request(format!("header {LAST_EVENT_ID} is not a position"));
    position.map(Some).ok_or_else(foreign)
}

struct Follower {
    store: EventStore,
    head: watch::Receiver<i64>,
    after: i64,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next events; `None` once the store is closed. An error ends the stream: the client
    /// comes back with the last id it got.
    async fn next(&mut self) -> anyhow::Result<Option<Vec<RecordedEvent>>> {
        loop {
            // Before reading: what is appended meanwhile counts as a change.
            self.head.mark_unchanged();
            let events = self.store.read_after(self.after, PAGE).await?;
            if let Some(last) = events.last() {
                self.after = last.position;
                return Ok(Some(events));
            }
            if self.head.changed().await.is_err() {
                return Ok(None);
            }
        }
    }
}

fn follow(
    store: EventStore,
    after: i64,
    permit: OwnedSemaphorePermit,
) -> impl Stream<Item = anyhow::Result<sse::Event>> {
    let follower = Follower {
        head: store.head(),
        store,
        after,
        _permit: permit,
    };
    stream::try_unfold(follower, async |mut follower: Follower| {
        let events = follower.next().await?;
        anyhow::Ok(events.map(|events| (events, follower)))
    })
    .map_ok(|events| stream::iter(events.into_iter().map(message)))
    .try_flatten()
    .inspect_err(|error: &anyhow::Error| tracing::warn!(%error, "a tail of the log ended"))
}

fn message(event: RecordedEvent) -> anyhow::Result<sse::Event> {
    let id = event.position.to_string();
    let event = Event::try_from(event)?;
    Ok(sse::Event::default().id(id).json_data(&event)?)
}
