//! `admin/outbox`: how far Kafka is behind the log.

use axum::extract::State;
use eventstore::{Relay, RelayStatus};
use http_server::{Admin, Json, Problem};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AdminApi;
use crate::problems::database;

pub(super) fn router() -> OpenApiRouter<AdminApi> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How far Kafka is behind the log. Without Kafka nobody publishes, and everything is pending.
#[derive(Serialize, ToSchema)]
struct Outbox {
    /// The newest position of the log.
    head: i64,
    /// Everything up to here is acknowledged by Kafka.
    published: i64,
    /// Events after that.
    pending: i64,
    /// Age of the oldest of them; 0 where there is none.
    oldest_seconds: f64,
    /// Who holds the relay's lease; `null` where nobody does.
    leader: Option<String>,
    /// What the relay's last attempt failed with; `null` once it publishes again.
    error: Option<String>,
    /// Failed attempts in a row; 0 where there is no error.
    attempts: i64,
}

/// How far Kafka is behind the log.
#[utoipa::path(
    get, path = "/admin/outbox", tag = "admin", operation_id = "get_outbox",
    responses((status = 200, body = Outbox)),
    security(("bearer" = []))
)]
async fn status(State(api): State<AdminApi>, _: Admin) -> Result<Json<Outbox>, Problem> {
    let RelayStatus {
        head,
        published,
        pending,
        oldest_seconds,
        leader,
        error,
        attempts,
    } = Relay::status(api.pool()).await.map_err(database)?;
    Ok(Json(Outbox {
        head,
        published,
        pending,
        oldest_seconds,
        leader,
        error,
        attempts,
    }))
}
