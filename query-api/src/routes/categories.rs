//! `categories`: what the shop's shelves are. Public.

use axum::extract::State;
use http_server::{MinPosition, Problem};
use read_models::search::{Categories, Snapshot};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::ReadYourWrites;

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(categories))
}

/// The tree of categories that have active products, with their counts.
#[utoipa::path(
    get, path = "/categories", tag = "search", operation_id = "list_categories",
    params(ReadYourWrites),
    responses((status = 200, body = Categories))
)]
async fn categories(
    State(api): State<QueryApi>,
    wanted: MinPosition,
) -> Result<Answer<Categories>, Problem> {
    let categories = api.searches.look(&wanted, Snapshot::categories).await?;
    Ok(Answer::new(categories.position, categories))
}
