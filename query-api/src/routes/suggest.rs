//! `suggest`: completions and corrections of a query. Public.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use http_server::{MinPosition, Problem, Query};
use read_models::search::{SUGGESTIONS_DEFAULT, SuggestRequest, Suggestions};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::ReadYourWrites;

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(suggest))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SuggestQuery {
    /// What was typed so far; the last word may be unfinished. Without any word there is nothing to
    /// suggest. At most 32 words.
    #[serde(default)]
    #[param(required = false, max_length = 200)]
    q: String,
    /// Completions at most.
    #[param(minimum = 1, maximum = 20, default = 10)]
    limit: Option<usize>,
}

/// What a query that is being typed may become, and what a misspelt one may have meant. Everything suggested finds
/// active products.
#[utoipa::path(
    get, path = "/suggest", tag = "search", operation_id = "suggest",
    params(SuggestQuery, ReadYourWrites),
    responses((status = 200, body = Suggestions))
)]
async fn suggest(
    State(api): State<QueryApi>,
    Query(query): Query<SuggestQuery>,
    wanted: MinPosition,
) -> Result<Answer<Suggestions>, Problem> {
    let request = SuggestRequest {
        q: query.q,
        limit: query.limit.unwrap_or(SUGGESTIONS_DEFAULT),
    };
    let suggestions = api
        .searches
        .look(&wanted, move |it| it.suggest(&request))
        .await?;
    Ok(Answer::new(suggestions.position, suggestions))
}
