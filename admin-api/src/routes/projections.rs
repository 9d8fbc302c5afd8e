//! `admin/projections`: how the read models do, and what they are asked to do.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for headers that are a type"
)]

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_server::headers::IDEMPOTENT_REPLAYED;
use http_server::problem::ProblemDocument;
use http_server::{Admin, Caller, Ctx, Json, Kind, List, Path, Problem};
use read_models::generations::{self, Registration};
use read_models::replays::{self, Replay, Request, RequestError, Requested};
use read_models::status::{self, Status};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::problems::{
    NO_PREVIOUS_GENERATION, PREVIOUS_GENERATION_UNREADABLE, PROJECTION_AMBIGUOUS,
    REPLAY_IN_PROGRESS, database,
};
use crate::{API_PREFIX, AdminApi};

/// Replays that one projection shows: enough to see how the last ones went.
const REPLAYS_SHOWN: i64 = 10;

/// What an `Idempotency-Key` of this API is digested with.
const KEY_SCOPE: &str = "replay";

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_name))
}

pub(super) fn commands() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new()
        .routes(routes!(replay))
        .routes(routes!(rollback))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

/// A read model: the generation that answers queries, and beside it every other one.
#[derive(Serialize, ToSchema)]
struct Projection {
    #[serde(flatten)]
    answering: Status,
    generations: Vec<Status>,
    /// The last ten, the newest first.
    replays: Vec<Replay>,
}

/// Every generation of every read model.
#[utoipa::path(
    get, path = "/admin/projections", tag = "admin", operation_id = "list_projections",
    responses((status = 200, body = List<Status>)),
    security(("bearer" = []))
)]
async fn list(State(api): State<AdminApi>, _: Admin) -> Result<Json<List<Status>>, Problem> {
    let rows = status::list(api.pool(), None).await.map_err(database)?;
    // There are a handful: never a second page.
    Ok(Json(List::scanned(rows, None::<&()>)))
}

/// One read model, by its registered name, or by the model's where that is only one.
#[utoipa::path(
    get, path = "/admin/projections/{name}", tag = "admin", operation_id = "get_projection",
    params(("name" = String, Path, description = "`products`, or `search@<directory id>`")),
    responses(
        (status = 200, body = Projection),
        (status = 409, description = "`projection-ambiguous`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn by_name(
    State(api): State<AdminApi>,
    _: Admin,
    Path(name): Path<String>,
) -> Result<Json<Projection>, Problem> {
    let registered = find(&api, &name).await?;
    show(&api, &registered.name).await.map(Json)
}

/// The header of what is safe to repeat, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the document only; handlers take a `Ctx`")]
struct KeyHeader {
    /// Makes the request safe to repeat: the replay of the first one is told again, with `Idempotent-Replayed: true`.
    /// 1 to 200 printable ASCII characters.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        pattern = "^[ -~]+$"
    )]
    idempotency_key: Option<String>,
}

/// What a replay is to do.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema, garde::Validate)]
#[serde(default, deny_unknown_fields)]
struct ReplayBody {
    /// Report the differences, do not switch.
    #[garde(skip)]
    compare_only: bool,
    /// Switch only if there are no differences; else the replay fails.
    #[garde(skip)]
    require_equal: bool,
}

/// Rebuilds a read model from the log beside the live one, and switches. The holder of its lease
/// takes it up; see `admin/replays/{id}` for how it goes.
#[utoipa::path(
    post, path = "/admin/projections/{name}/replay", tag = "admin", operation_id = "replay_projection",
    params(("name" = String, Path, description = "`products`, or `search@<directory id>`"), KeyHeader),
    request_body = Option<ReplayBody>,
    responses(
        (status = 202, body = Replay, headers(("Location" = String, description = "the replay"))),
        (status = 409, description = "`replay-in-progress`, `projection-ambiguous`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn replay(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    ctx: Ctx,
    Path(name): Path<String>,
    body: Option<Json<ReplayBody>>,
) -> Result<Accepted, Problem> {
    let body = body.map_or_else(ReplayBody::default, |Json(body)| body);
    let projection = find(&api, &name).await?.name;
    let request = Request {
        id: request_id(&api, &ctx, &caller),
        projection: &projection,
        kind: replays::Kind::Replay,
        compare_only: body.compare_only,
        require_equal: body.require_equal,
        requested_by: &caller.user_id,
    };
    ask(&api, &request).await
}

/// Goes back to the generation before.
#[utoipa::path(
    post, path = "/admin/projections/{name}/rollback", tag = "admin", operation_id = "roll_projection_back",
    params(("name" = String, Path, description = "`products`, or `search@<directory id>`"), KeyHeader),
    responses(
        (status = 202, body = Replay, headers(("Location" = String, description = "the rollback"))),
        (
            status = 409, body = ProblemDocument, content_type = "application/problem+json",
            description = "`no-previous-generation`, `previous-generation-unreadable`, `replay-in-progress`, `projection-ambiguous`"
        ),
    ),
    security(("bearer" = []))
)]
async fn rollback(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    ctx: Ctx,
    Path(name): Path<String>,
) -> Result<Accepted, Problem> {
    let registered = find(&api, &name).await?;
    let request = Request {
        id: request_id(&api, &ctx, &caller),
        projection: &registered.name,
        kind: replays::Kind::Rollback,
        compare_only: false,
        require_equal: false,
        requested_by: &caller.user_id,
    };
    // A repeated request is told what became of it, whatever the generations are now.
    if replays::read(api.pool(), request.id)
        .await
        .map_err(database)?
        .is_none()
    {
        require_previous(&registered)?;
    }
    ask(&api, &request).await
}

/// Stops a read model from following the log; it goes on answering queries.
#[utoipa::path(
    post, path = "/admin/projections/{name}/pause", tag = "admin", operation_id = "pause_projection",
    params(("name" = String, Path, description = "`products`, or `search@<directory id>`")),
    responses(
        (status = 200, body = Projection),
        (status = 409, description = "`projection-ambiguous`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn pause(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    Path(name): Path<String>,
) -> Result<Json<Projection>, Problem> {
    set_paused(&api, &caller, &name, true).await
}

/// Lets a paused read model follow the log again.
#[utoipa::path(
    post, path = "/admin/projections/{name}/resume", tag = "admin", operation_id = "resume_projection",
    params(("name" = String, Path, description = "`products`, or `search@<directory id>`")),
    responses(
        (status = 200, body = Projection),
        (status = 409, description = "`projection-ambiguous`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn resume(
    State(api): State<AdminApi>,
    Admin(caller): Admin,
    Path(name): Path<String>,
) -> Result<Json<Projection>, Problem> {
    set_paused(&api, &caller, &name, false).await
}

async fn set_paused(
    api: &AdminApi,
    caller: &Caller,
    name: &str,
    paused: bool,
) -> Result<Json<Projection>, Problem> {
    let registered = find(api, name).await?;
    generations::set_paused(api.pool(), &registered.name, paused)
        .await
        .map_err(|error| Problem::internal(format!("{}: {error}", registered.name)))?;
    tracing::info!(
        projection = registered.name,
        paused,
        by = caller.user_id,
        "projection"
    );
    show(api, &registered.name).await.map(Json)
}

async fn show(api: &AdminApi, name: &str) -> Result<Projection, Problem> {
    let generations = status::list(api.pool(), Some(name))
        .await
        .map_err(database)?;
    let answering = generations.first().cloned().ok_or_else(|| unknown(name))?;
    let replays = replays::list(api.pool(), Some(name), REPLAYS_SHOWN).await;
    Ok(Projection {
        answering,
        generations,
        replays: replays.map_err(database)?,
    })
}

async fn find(api: &AdminApi, name: &str) -> Result<Registration, Problem> {
    let mut registered = generations::list(api.pool()).await.map_err(database)?;
    if let Some(place) = registered.iter().position(|it| it.name == name) {
        return Ok(registered.swap_remove(place));
    }
    registered.retain(|it| read_models::model(&it.name) == name);
    if registered.len() > 1 {
        let names: Vec<&str> = registered.iter().map(|it| it.name.as_str()).collect();
        return Err(
            Problem::from(PROJECTION_AMBIGUOUS).detail(format!("name one of {}", names.join(", ")))
        );
    }
    registered.pop().ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(format!("there is no projection {name}"))
}

fn require_previous(registered: &Registration) -> Result<(), Problem> {
    let Registration { name, previous, .. } = registered;
    let Some(previous) = *previous else {
        let error = generations::Error::NoPrevious { name: name.clone() };
        return Err(Problem::from(NO_PREVIOUS_GENERATION).detail(error.to_string()));
    };
    let shape = read_models::shape(name);
    if registered.previous_shape.as_deref() == shape {
        return Ok(());
    }
    let error = generations::Error::OtherShape {
        name: name.clone(),
        previous,
        found: registered.previous_shape.clone().unwrap_or_default(),
        shape: shape.unwrap_or_default().to_owned(),
    };
    Err(Problem::from(PREVIOUS_GENERATION_UNREADABLE).detail(error.to_string()))
}

/// A new id, or the one that the caller's `Idempotency-Key` stands for.
fn request_id(api: &AdminApi, ctx: &Ctx, caller: &Caller) -> Uuid {
    let Some(key) = &ctx.idempotency_key else {
        return Uuid::now_v7();
    };
    let parts = [KEY_SCOPE, caller.user_id.as_str(), key.as_str()];
    let digest = api.store.sealer().fingerprint(&parts.map(str::as_bytes));
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(digest)
        .for_each(|(byte, digit)| *byte = digit);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn ask(api: &AdminApi, request: &Request<'_>) -> Result<Accepted, Problem> {
    let Requested { replay, repeated } =
        replays::request(api.pool(), request)
            .await
            .map_err(|error| match error {
                RequestError::Unknown { projection } => unknown(&projection),
                RequestError::InProgress { .. } => {
                    Problem::from(REPLAY_IN_PROGRESS).detail(error.to_string())
                }
                RequestError::IdReused { .. } => Problem::from(Kind::IDEMPOTENCY_KEY_REUSED),
                RequestError::Database(error) => database(error),
            })?;
    Ok(Accepted { replay, repeated })
}

/// 202 with the replay and where to look how it goes.
struct Accepted {
    replay: Replay,
    repeated: bool,
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let location = format!("{API_PREFIX}/admin/replays/{}", self.replay.id);
        let mut response = (StatusCode::ACCEPTED, Json(self.replay)).into_response();
        let headers = response.headers_mut();
        let location = HeaderValue::from_str(&location);
        headers.insert(header::LOCATION, location.expect("a UUID is printable"));
        if self.repeated {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
