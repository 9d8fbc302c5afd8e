//! `orders/{id}/events`: an order's timeline as it grows (server-sent events).
//!
//! A client is where the last item is that it got, whatever generation of the read model that came from: items are named
//! by their positions in the log, which are the same in all of them.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use http_server::headers::{self, POSITION};
use http_server::token::TOKEN_LIFETIME;
use http_server::{Caller, MinPosition, Path, PositionToken, Problem};
use read_models::timeline::{self, Item};
use read_models::{Behind, Live, Unavailable, positions};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::timeline::find;
use crate::QueryApi;
use crate::reading::{ReadYourWrites, is_undefined_table, unavailable};
use crate::watched_orders::Watching;

/// Between two signs of life while nothing happens: below the idle time-out of every proxy.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Items read at once: what a client that does not read holds in memory.
const PAGE: i64 = 256;

/// Before reading again from a generation that was replaced and dropped meanwhile.
const REPLACED_PAUSE: Duration = Duration::from_millis(100);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(follow))
}

/// A message of the stream.
#[derive(ToSchema)]
#[schema(as = TimelineMessage)]
#[expect(dead_code, reason = "read by the document only")]
struct Message {
    /// The item's position; the last one that arrived is what `Last-Event-ID` takes.
    id: String,
    /// The item's type, as `order.created`.
    event: String,
    /// The item as JSON, as in the timeline.
    data: String,
}

/// The steps of an order as they happen: first those that have, then each new one. A message is an item of the timeline.
/// With `Last-Event-ID` only what came after it; nothing is lost or sent twice by whoever resumes with the last id they
/// got. A comment every 15 s shows that the stream is alive. Ends after 15 minutes, to be resumed with a fresh token.
#[utoipa::path(
    get, path = "/orders/{id}/events", tag = "orders", operation_id = "follow_order",
    params(
        ("id" = String, Path, description = "the order's id"),
        ("Last-Event-ID" = Option<String>, Header, description = "the last position that arrived", pattern = "^[0-9]{1,18}$"),
        ReadYourWrites
    ),
    responses((status = 200, body = Message, content_type = "text/event-stream")),
    security(("bearer" = []))
)]
async fn follow(
    State(api): State<QueryApi>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: MinPosition,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let last = last_event_id(&headers)?;
    let (live, order_id) = find(&api, &caller, &id, &wanted).await?;
    let after = last.unwrap_or(0);
    let live = reached(&api, live, after, &wanted).await?;
    let watching = api.watched_orders.watch(order_id, &caller.user_id)?;
    let follower = Follower {
        api,
        order_id,
        after,
        watching,
    };
    let messages = messages(follower).take_until(tokio::time::sleep(TOKEN_LIFETIME));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (POSITION, PositionToken::main(live.position).header_value()),
    ];
    let messages = Sse::new(messages).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    Ok((headers, messages))
}

/// The generation that answers, once it has come to where the client is: one that was gone back to may be a little behind.
async fn reached(
    api: &QueryApi,
    live: Live,
    after: i64,
    wanted: &MinPosition,
) -> Result<Live, Problem> {
    if after <= live.position {
        return Ok(live);
    }
    let deadline = Instant::from_std(wanted.deadline);
    let live = positions::await_position(&api.pool, timeline::NAME, after, deadline).await;
    live.map_err(|error| match error {
        // To wait for it could take for ever, and then skip what a rewound log holds there.
        Unavailable::Behind(Behind::Position { position, .. }) => {
            let detail = format!("position {after} is beyond what is known, {position}");
            Problem::bad_request(detail)
        }
        error => unavailable(error),
    })
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
    api: QueryApi,
    order_id: Uuid,
    /// Everything up to here was sent.
    after: i64,
    watching: Watching,
}

impl Follower {
    /// The next items. An error ends the stream: the client comes back with the last id it got.
    async fn next(&mut self) -> sqlx::Result<Vec<Item>> {
        loop {
            self.watching.mark_seen();
            match self.read().await {
                Ok(items) => {
                    if let Some(last) = items.last() {
                        self.after = last.position;
                        return Ok(items);
                    }
                }
                // Replayed twice since it was looked up: another one answers.
                Err(error) if is_undefined_table(&error) => {
                    tokio::time::sleep(REPLACED_PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.watching.grown().await;
        }
    }

    /// What the generation that answers now has after the last item; nothing while none does.
    async fn read(&self) -> sqlx::Result<Vec<Item>> {
        let pool = &self.api.pool;
        let live = positions::await_position(pool, timeline::NAME, 0, Instant::now()).await;
        match live {
            Ok(live) => {
                timeline::list(pool, live.generation, self.order_id, self.after, PAGE).await
            }
            Err(Unavailable::Behind(Behind::Building { .. } | Behind::Position { .. })) => {
                Ok(Vec::new())
            }
            Err(Unavailable::Database(error)) => Err(error),
        }
    }
}

fn messages(follower: Follower) -> impl Stream<Item = Result<sse::Event, axum::BoxError>> {
    stream::try_unfold(follower, async |mut follower: Follower| {
        let items = follower.next().await?;
        Ok::<_, axum::BoxError>(Some((items, follower)))
    })
    .map_ok(|items| stream::iter(items.into_iter().map(|item| message(&item))))
    .try_flatten()
    .inspect_err(|error: &axum::BoxError| tracing::warn!(%error, "a stream of an order ended"))
}

fn message(item: &Item) -> Result<sse::Event, axum::BoxError> {
    let event = sse::Event::default()
        .id(item.position.to_string())
        .event(&item.event_type);
    Ok(event.json_data(item)?)
}
