//! `admin/replays`: how a rebuild or a rollback goes.

use axum::extract::State;
use http_server::{Admin, Json, Path, Problem};
use read_models::replays::{self, Replay};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::AdminApi;
use crate::problems::database;

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new().routes(routes!(by_id))
}

/// One rebuild or rollback.
#[utoipa::path(
    get, path = "/admin/replays/{id}", tag = "admin", operation_id = "get_replay",
    params(("id" = Uuid, Path, description = "the replay's id")),
    responses((status = 200, body = Replay)),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<AdminApi>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Json<Replay>, Problem> {
    let missing = || Problem::not_found(format!("there is no replay {id}"));
    let uuid = Uuid::try_parse(&id).map_err(|_| missing())?;
    let found = replays::read(api.pool(), uuid).await.map_err(database)?;
    found.map(Json).ok_or_else(missing)
}
