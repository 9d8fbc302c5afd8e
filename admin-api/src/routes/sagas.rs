//! `admin/sagas`: what each order waits for, and letting go on what halts.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use eventstore::{CommandContext, CommandId, ExecuteError, Sealer};
use http_server::answer::CommandBody;
use http_server::headers::POSITION;
use http_server::page::PageQuery;
use http_server::position::MAIN_LOG;
use http_server::problem::ProblemDocument;
use http_server::{
    Admin, Caller, CommandAnswer, Ctx, Json, Kind, List, MinPosition, Page, Path, PositionToken,
    Problem, Query,
};
use read_models::sagas::{self, SagaId};
use read_models::{Behind, Live, Unavailable, positions};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::AdminApi;
use crate::events::{self, Event};
use crate::problems::{SAGA_NOT_PARKED, database};
use crate::routes::rows_max;
use crate::sagas::{RetryError, Saga, retry as let_go_on};

/// Events of a saga that are shown with it: one takes some ten, and six more each time that it was let go on.
const EVENTS_MAX: i64 = 200;

/// What to tell a client while the read model is being built, or its command is under way: soon, but not at once.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// How long the first outcome of an `Idempotency-Key` is kept where it left no event.
const OUTCOME_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_id))
}

pub(super) fn commands() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new().routes(routes!(retry))
}

/// A saga with what it has decided.
#[derive(Serialize, ToSchema)]
struct SagaDetail {
    #[serde(flatten)]
    saga: Saga,
    /// The first 200 events of its stream; `admin/streams/{type}/{id}` has all, those of the order's other streams too.
    events: Vec<Event>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Those in one state.
    status: Option<sagas::State>,
}

/// For the document only; read by `MinPosition`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "read by `MinPosition`; here for its documentation"
)]
struct ReadYourWrites {
    /// Position that the answer must show, as of a retry: waited for up to 2 s, or as long as `Prefer: wait=N` says, at
    /// most 10; then 503 `projection-behind`.
    #[param(rename = "Nakku-Min-Position", required = false, example = "4711")]
    min_position: String,
}

/// For the document only; read by `Ctx`.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by `Ctx`; here for its documentation")]
struct CommandHeaders {
    /// Makes the request safe to repeat: the first outcome is told again, with `Idempotent-Replayed: true`. 1 to 200
    /// printable ASCII characters; kept for at least 7 days.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        pattern = "^[ -~]+$"
    )]
    idempotency_key: Option<String>,
    /// The version that the saga's stream must have, in quotes; else 412 `version-mismatch`.
    #[param(rename = "If-Match", pattern = "^\"[0-9]{1,18}\"$", example = "\"3\"")]
    if_match: Option<String>,
}

type Positioned<T> = ([(HeaderName, HeaderValue); 1], Json<T>);

/// Sagas, those that began last first, whether they go on or have ended.
#[utoipa::path(
    get, path = "/admin/sagas", tag = "admin", operation_id = "list_sagas",
    params(Wanted, PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Saga>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<AdminApi>,
    _: Admin,
    Query(wanted): Query<Wanted>,
    page: Page,
    position: MinPosition,
) -> Result<Positioned<List<Saga>>, Problem> {
    let before: Option<i64> = page.cursor()?;
    let live = live(&api, &position).await?;
    let limit = rows_max(&page);
    let found = sagas::list(api.pool(), live.generation, wanted.status, before, limit).await;
    let list = page.list(found.map_err(database)?, |it| it.saga.started_position);
    let list = List {
        items: list.items.into_iter().map(Saga::from).collect(),
        next_cursor: list.next_cursor,
    };
    Ok((at(live.position), Json(list)))
}

/// One saga, with the events of its stream.
#[utoipa::path(
    get, path = "/admin/sagas/{id}", tag = "admin", operation_id = "get_saga",
    params(("id" = String, Path, description = "`fulfilment-<order id>` or `return-<order id>`"), ReadYourWrites),
    responses((status = 200, body = SagaDetail)),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<AdminApi>,
    _: Admin,
    Path(id): Path<String>,
    position: MinPosition,
) -> Result<Positioned<SagaDetail>, Problem> {
    let id = parse(&id)?;
    let live = live(&api, &position).await?;
    let found = sagas::by_id(api.pool(), live.generation, id).await;
    let saga = found.map_err(database)?.ok_or_else(|| unknown(id))?.into();
    let (stream_type, stream_id) = (id.kind.as_str(), id.order_id.to_string());
    let events = events::of_stream(api.pool(), stream_type, &stream_id, EVENTS_MAX).await;
    let events = events.map_err(database)?;
    Ok((at(live.position), Json(SagaDetail { saga, events })))
}

/// Lets a saga go on that halts: it asks again for the step at which it does, and is patient anew.
#[utoipa::path(
    post, path = "/admin/sagas/{id}/retry", tag = "admin", operation_id = "retry_saga",
    params(
        ("id" = String, Path, description = "`fulfilment-<order id>` or `return-<order id>`"),
        CommandHeaders
    ),
    responses(
        (
            status = 200, body = CommandBody,
            headers(
                ("ETag" = String, description = "the version of the saga's stream in quotes, for `If-Match`"),
                ("Nakku-Position" = String, description = "for `Nakku-Min-Position` of queries that must see the effect"),
                ("Idempotent-Replayed" = String, description = "`true` on the answer of an earlier request with the same key"),
            )
        ),
        (status = 409, description = "`saga-not-parked`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn retry(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    ctx: Ctx,
    Path(id): Path<String>,
) -> Result<CommandAnswer, Problem> {
    let id = parse(&id)?;
    let key = ctx.idempotency_key.as_deref();
    let context = CommandContext {
        command: key.map(|key| command_id(api.store.sealer(), &caller, key, id)),
        expected_version: ctx.expected_version,
        user_id: Some(caller.user_id.clone()),
        traceparent: Some(ctx.traceparent()),
        deadline: ctx.deadline.into(),
        ..CommandContext::new("retry")
    };
    let executed = let_go_on(&api.store, api.patience, id, context);
    let executed = executed.await.map_err(refused)?;
    tracing::info!(%id, by = caller.user_id, "retry of a saga");
    let answer = CommandAnswer::new(id.to_string(), executed.version, executed.position);
    Ok(answer.replayed(executed.replayed))
}

/// A key belongs to its principal, and stands for what was asked with it first.
fn command_id(sealer: &Sealer, caller: &Caller, key: &str, id: SagaId) -> CommandId {
    let user_id = caller.user_id.as_bytes();
    let digest = sealer.fingerprint(&[b"idempotency-key", b"principal", user_id, key.as_bytes()]);
    CommandId {
        id: Uuid::from_slice(&digest[..16]).expect("16 bytes are a UUID"),
        fingerprint: sealer.fingerprint(&[b"request", b"retry saga", id.to_string().as_bytes()]),
        expires_after: Some(OUTCOME_KEPT),
        wait_if_in_flight: false,
    }
}

/// The generation of the read model that answers, once it has come as far as the client wants.
async fn live(api: &AdminApi, wanted: &MinPosition) -> Result<Live, Problem> {
    let min_position = wanted.on(MAIN_LOG).unwrap_or(0);
    let deadline = Instant::from_std(wanted.deadline);
    let live = positions::await_position(api.pool(), sagas::NAME, min_position, deadline).await;
    live.map_err(|error| match error {
        Unavailable::Behind(Behind::Position {
            position, wanted, ..
        }) => Problem::projection_behind(wanted, position),
        Unavailable::Behind(building @ Behind::Building { .. }) => {
            Problem::from(Kind::PROJECTION_BEHIND)
                .detail(building.to_string())
                .retry_after(RETRY_SOON)
        }
        Unavailable::Database(error) => database(error),
    })
}

fn at(position: i64) -> [(HeaderName, HeaderValue); 1] {
    [(POSITION, PositionToken::main(position).header_value())]
}

fn parse(id: &str) -> Result<SagaId, Problem> {
    id.parse().map_err(|_| unknown(id))
}

fn unknown(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no saga {id}"))
}

fn refused(error: RetryError) -> Problem {
    let error = match error {
        RetryError::Unknown(id) => return unknown(id),
        RetryError::Database(error) => return database(error),
        RetryError::Execute(error) => error,
    };
    match error {
        ExecuteError::Refused { error, replayed } => Problem::from(SAGA_NOT_PARKED)
            .detail(error.to_string())
            .replayed(replayed),
        ExecuteError::VersionMismatch {
            expected,
            actual,
            replayed,
        } => Problem::version_mismatch(expected, actual).replayed(replayed),
        ExecuteError::KeyReused => Problem::from(Kind::IDEMPOTENCY_KEY_REUSED),
        ExecuteError::InFlight => Problem::from(Kind::COMMAND_IN_FLIGHT).retry_after(RETRY_SOON),
        ExecuteError::Overloaded => Problem::overloaded(),
        ExecuteError::OutcomeUnknown => Problem::outcome_unknown(),
        ExecuteError::Invalid(reason) | ExecuteError::Corrupt(reason) => Problem::internal(reason),
        ExecuteError::Closed => Problem::overloaded().detail("the server is shutting down"),
    }
}
