//! `admin/dead-letters`: streams that wait behind an event that a consumer could not handle.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use axum::http::StatusCode;
use eventstore::dead_letters::{self, DecideError};
use http_server::page::PageQuery;
use http_server::problem::ProblemDocument;
use http_server::{Admin, Caller, Json, List, Page, Path, Problem, Query};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::events::{self, Event};
use crate::problems::{DEAD_LETTER_DISCARDED, DEAD_LETTER_WAITS, database};
use crate::{AdminApi, routes::rows_max};

/// Characters of a reason: a sentence or two, and where to read more.
const REASON_CHARS_MAX: usize = 500;

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_id))
}

pub(super) fn commands() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new()
        .routes(routes!(retry))
        .routes(routes!(discard))
}

/// The first event of a blocked stream.
#[derive(Serialize, ToSchema)]
struct DeadLetter {
    id: Uuid,
    consumer: String,
    stream_type: String,
    stream_id: String,
    position: i64,
    #[serde(rename = "type")]
    event_type: String,
    /// Why it could not be handled.
    error: Option<String>,
    attempts: i32,
    /// Later events of the stream that wait behind it.
    blocked: i64,
    /// `parked`, `retry` (asked for, not yet carried out) or `discarded`.
    state: String,
    /// Who asked for the retry, or discarded it.
    decided_by: Option<String>,
    /// Why it was discarded.
    reason: Option<String>,
}

impl From<dead_letters::DeadLetter> for DeadLetter {
    fn from(letter: dead_letters::DeadLetter) -> Self {
        DeadLetter {
            id: letter.id,
            consumer: letter.consumer,
            stream_type: letter.stream_type,
            stream_id: letter.stream_id,
            position: letter.position,
            event_type: letter.event_type,
            error: letter.error,
            attempts: letter.attempts,
            blocked: letter.blocked,
            state: letter.state,
            decided_by: letter.decided_by,
            reason: letter.reason,
        }
    }
}

/// An event that waits behind a dead letter.
#[derive(Serialize, ToSchema)]
struct WaitingEvent {
    id: Uuid,
    position: i64,
    #[serde(rename = "type")]
    event_type: String,
}

/// A dead letter with its event and what waits behind it, at most 1,000 events.
#[derive(Serialize, ToSchema)]
struct DeadLetterDetail {
    #[serde(flatten)]
    letter: DeadLetter,
    /// `null` where the log has none at its position any more.
    event: Option<Event>,
    waiting: Vec<WaitingEvent>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Those of one consumer, as `products`.
    consumer: Option<String>,
    /// What was discarded instead of what waits.
    #[serde(default)]
    #[param(required = false)]
    discarded: bool,
}

/// Blocked streams, each by its first event, or discarded events, in position order.
#[utoipa::path(
    get, path = "/admin/dead-letters", tag = "admin", operation_id = "list_dead_letters",
    params(Wanted, PageQuery),
    responses((status = 200, body = List<DeadLetter>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<AdminApi>,
    _: Admin,
    Query(wanted): Query<Wanted>,
    page: Page,
) -> Result<Json<List<DeadLetter>>, Problem> {
    let after: Option<Uuid> = page.cursor()?;
    let (pool, consumer, limit) = (api.pool(), wanted.consumer.as_deref(), rows_max(&page));
    let letters = if wanted.discarded {
        dead_letters::discarded(pool, consumer, after, limit).await
    } else {
        dead_letters::list(pool, consumer, after, limit).await
    };
    let letters = letters.map_err(database)?;
    let letters = letters.into_iter().map(DeadLetter::from).collect();
    Ok(Json(page.list(letters, |letter: &DeadLetter| letter.id)))
}

/// One dead letter, its event and what waits behind it.
#[utoipa::path(
    get, path = "/admin/dead-letters/{id}", tag = "admin", operation_id = "get_dead_letter",
    params(("id" = Uuid, Path, description = "the dead letter's id")),
    responses((status = 200, body = DeadLetterDetail)),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<AdminApi>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Json<DeadLetterDetail>, Problem> {
    let id = parse(&id)?;
    let found = dead_letters::show(api.pool(), id).await.map_err(database)?;
    let (letter, waiting) = found.ok_or_else(|| unknown(id))?;
    let event = events::at(api.pool(), letter.position).await;
    let waiting = waiting.into_iter().map(|event| WaitingEvent {
        id: event.id,
        position: event.position,
        event_type: event.event_type,
    });
    Ok(Json(DeadLetterDetail {
        letter: letter.into(),
        event: event.map_err(database)?,
        waiting: waiting.collect(),
    }))
}

/// Why another try is worth it.
#[derive(Debug, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    /// For the log of the service.
    #[garde(length(chars, max = REASON_CHARS_MAX))]
    reason: Option<String>,
}

/// Asks for another try of a stream, from this event on. Its consumer takes it up within a second;
/// when all went well the dead letter is gone.
#[utoipa::path(
    post, path = "/admin/dead-letters/{id}/retry", tag = "admin", operation_id = "retry_dead_letter",
    params(("id" = Uuid, Path, description = "the dead letter's id")),
    request_body = Option<RetryBody>,
    responses(
        (status = 202, body = DeadLetter),
        (status = 409, description = "`dead-letter-waits`, `dead-letter-discarded`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn retry(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    body: Option<Json<RetryBody>>,
) -> Result<(StatusCode, Json<DeadLetter>), Problem> {
    let id = parse(&id)?;
    // Before it is asked for: the consumer may be done with it, and the row gone, right after.
    let mut letter = read(&api, id).await?;
    dead_letters::request_retry(api.pool(), id, &caller.user_id)
        .await
        .map_err(refused)?;
    let reason = body.and_then(|Json(body)| body.reason);
    tracing::info!(%id, by = caller.user_id, reason, "retry of a dead letter");
    "retry".clone_into(&mut letter.state);
    letter.decided_by = Some(caller.user_id);
    Ok((StatusCode::ACCEPTED, Json(letter)))
}

/// Why the event may be skipped.
#[derive(Debug, Deserialize, ToSchema, garde::Validate)]
#[serde(deny_unknown_fields)]
struct DiscardBody {
    /// Kept with it.
    #[garde(length(chars, min = 1, max = REASON_CHARS_MAX))]
    reason: String,
}

/// Skips this event for good, in replays too; the events behind it are tried again.
#[utoipa::path(
    post, path = "/admin/dead-letters/{id}/discard", tag = "admin", operation_id = "discard_dead_letter",
    params(("id" = Uuid, Path, description = "the dead letter's id")),
    request_body = DiscardBody,
    responses(
        (status = 200, body = DeadLetter),
        (status = 409, description = "`dead-letter-waits`, `dead-letter-discarded`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn discard(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Json(DiscardBody { reason }): Json<DiscardBody>,
) -> Result<Json<DeadLetter>, Problem> {
    let id = parse(&id)?;
    match dead_letters::discard(api.pool(), id, &caller.user_id, &reason).await {
        Ok(()) => read(&api, id).await.map(Json),
        // Asked for twice: it is as the caller wants it.
        Err(DecideError::Discarded) => {
            let letter = read(&api, id).await?;
            if is_decision(&letter, &caller, &reason) {
                return Ok(Json(letter));
            }
            Err(refused(DecideError::Discarded))
        }
        Err(error) => Err(refused(error)),
    }
}

fn is_decision(letter: &DeadLetter, caller: &Caller, reason: &str) -> bool {
    letter.decided_by.as_deref() == Some(&caller.user_id)
        && letter.reason.as_deref() == Some(reason)
}

async fn read(api: &AdminApi, id: Uuid) -> Result<DeadLetter, Problem> {
    let found = dead_letters::show(api.pool(), id).await.map_err(database)?;
    let (letter, _) = found.ok_or_else(|| unknown(id))?;
    Ok(letter.into())
}

fn parse(id: &str) -> Result<Uuid, Problem> {
    Uuid::try_parse(id).map_err(|_| unknown(id))
}

fn unknown(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no dead letter {id}"))
}

fn refused(error: DecideError) -> Problem {
    match error {
        DecideError::NotFound => Problem::not_found("there is no such dead letter"),
        DecideError::NotFirst { .. } => Problem::from(DEAD_LETTER_WAITS).detail(error.to_string()),
        DecideError::Discarded => Problem::from(DEAD_LETTER_DISCARDED).detail(error.to_string()),
        DecideError::Database(error) => database(error),
    }
}
