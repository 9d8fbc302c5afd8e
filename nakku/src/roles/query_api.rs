//! Queries.

use command_api::API_PREFIX;
use query_api::QueryApi;
use read_models::{products, stock, users};
use utoipa_axum::router::OpenApiRouter;

use super::checks;
use super::part::{Part, Resources};

/// Ready once every read model answers: before that a load balancer would only collect 503s.
pub(super) fn part(resources: &Resources) -> anyhow::Result<(Part, QueryApi)> {
    let pool = resources.pool.clone();
    let api = QueryApi::open(
        pool.clone(),
        &resources.config.data_dir,
        resources.stop.clone(),
    )?;
    let mut checks: Vec<_> = [products::NAME, stock::NAME, users::NAME]
        .into_iter()
        .map(|model| checks::readable(pool.clone(), model))
        .collect();
    checks.push(checks::searchable(api.search_reader().clone()));
    let part = Part {
        routes: OpenApiRouter::new().nest(API_PREFIX, api.router()),
        checks,
        ..Part::default()
    };
    Ok((part, api))
}
