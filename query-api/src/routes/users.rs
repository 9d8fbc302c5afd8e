//! `users`: profiles. Of whoever is erased, staff is told that they were there; they themselves are told nothing.

use axum::extract::State;
use http_server::problem::ProblemDocument;
use http_server::{Caller, MinPosition, Path, Problem, Role};
use read_models::users::{self, Status, User};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::{Answer, IfNoneMatch};
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(by_id))
}

/// The caller.
#[utoipa::path(
    get, path = "/users/me", tag = "users", operation_id = "get_me",
    params(ReadYourWrites),
    responses(
        (status = 200, body = User),
        (status = 304, description = "`If-None-Match` names this version"),
        (status = 404, description = "`not-found`: not in the read model yet, or erased", body = ProblemDocument, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn me(
    State(api): State<QueryApi>,
    caller: Caller,
    wanted: MinPosition,
    known: IfNoneMatch,
) -> Result<Answer<User>, Problem> {
    find(&api, &caller, &caller.user_id, &wanted, &known).await
}

/// One user: the caller, or anyone for staff. Others do not exist for a customer.
#[utoipa::path(
    get, path = "/users/{id}", tag = "users", operation_id = "get_user",
    params(("id" = String, Path, description = "the user's id"), ReadYourWrites),
    responses((status = 200, body = User), (status = 304, description = "`If-None-Match` names this version")),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<QueryApi>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: MinPosition,
    known: IfNoneMatch,
) -> Result<Answer<User>, Problem> {
    if id != caller.user_id && !caller.role.may(Role::Staff) {
        return Err(missing(&id));
    }
    find(&api, &caller, &id, &wanted, &known).await
}

async fn find(
    api: &QueryApi,
    caller: &Caller,
    id: &str,
    wanted: &MinPosition,
    known: &IfNoneMatch,
) -> Result<Answer<User>, Problem> {
    let live = api.live(users::NAME, wanted).await?;
    let found = users::by_id(&api.pool, live.generation, id).await;
    let user = found.map_err(database)?.ok_or_else(|| missing(id))?;
    if user.status == Status::Erased && caller.user_id == user.id {
        // By a token from before.
        return Err(missing(id));
    }
    Ok(Answer::versioned(live.position, user.version, user, known))
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no user {id}"))
}
