//! `search`: products by words and filters. Public.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use http_server::{MinPosition, Problem, Query};
use read_models::search::{LIMIT_DEFAULT, SearchRequest, SearchResponse, Sort};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::ReadYourWrites;

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(search))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SearchQuery {
    /// Words, all of which must be found; the last one may be the beginning of a word, and words
    /// that nothing has are taken for misspelt. No character has a meaning of its own. At most 32
    /// words. Without any: every product.
    #[serde(default)]
    #[param(required = false, max_length = 200)]
    q: String,
    /// A category by its path (`Beverages/Beer`) or by the name of one level (`Beer`).
    category: Option<String>,
    /// In the currency's smallest unit, inclusive.
    #[param(minimum = 0)]
    price_min: Option<i64>,
    /// In the currency's smallest unit, inclusive.
    #[param(minimum = 0)]
    price_max: Option<i64>,
    /// A store that must have some available.
    in_stock_at: Option<String>,
    /// The order of the hits.
    #[serde(default)]
    #[param(inline, required = false)]
    sort: Sort,
    /// Hits of this page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// `next_cursor` of the page before, with everything else unchanged but for `limit`; opaque. A
    /// product that stays as it is from the first page to the last is on exactly one of them.
    cursor: Option<String>,
}

/// Active products by words and filters, with counts over all that were found.
#[utoipa::path(
    get, path = "/search", tag = "search", operation_id = "search_products",
    params(
        SearchQuery,
        ("brand" = Option<Vec<String>>, Query, description = "any of these brands; may be repeated"),
        ReadYourWrites
    ),
    responses((status = 200, body = SearchResponse))
)]
async fn search(
    State(api): State<QueryApi>,
    Query(query): Query<SearchQuery>,
    Query(parameters): Query<Vec<(String, String)>>,
    wanted: MinPosition,
) -> Result<Answer<SearchResponse>, Problem> {
    let brands = parameters
        .into_iter()
        .filter_map(|(name, value)| (name == "brand").then_some(value));
    let request = query.request(brands);
    let response = api.searches.search(request, &wanted).await?;
    Ok(Answer::new(response.position, response))
}

impl SearchQuery {
    /// A filter that is given without a value, as forms send them, is none.
    fn request(self, brands: impl Iterator<Item = String>) -> SearchRequest {
        let filled = |text: &String| !text.is_empty();
        SearchRequest {
            q: self.q,
            category: self.category.filter(filled),
            brand: brands.filter(filled).collect(),
            price_min: self.price_min,
            price_max: self.price_max,
            in_stock_at: self.in_stock_at.filter(filled),
            sort: self.sort,
            limit: self.limit.unwrap_or(LIMIT_DEFAULT),
            cursor: self.cursor.filter(filled),
        }
    }
}
