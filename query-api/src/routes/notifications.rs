//! `users/me/notifications`: what the caller was told, through which channel, and what became of it.

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{Caller, List, MinPosition, Page, Problem};
use read_models::notifications::{self, Notification};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The caller's notifications, those of the newest events first. One that is neither sent nor failed is being sent, or
/// is tried again.
#[utoipa::path(
    get, path = "/users/me/notifications", tag = "users", operation_id = "list_my_notifications",
    params(PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Notification>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<QueryApi>,
    caller: Caller,
    page: Page,
    wanted: MinPosition,
) -> Result<Answer<List<Notification>>, Problem> {
    let before: Option<String> = page.cursor()?;
    let limit = super::rows_max(&page);
    let live = api.live(notifications::NAME, &wanted).await?;
    let rows = notifications::list(
        &api.pool,
        live.generation,
        &caller.user_id,
        before.as_deref(),
        limit,
    )
    .await;
    let list = page.list(rows.map_err(database)?, |it| it.id.clone());
    Ok(Answer::new(live.position, list))
}
