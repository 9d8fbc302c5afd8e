//! Queries.

use command_api::API_PREFIX;
use query_api::QueryApi;
use read_models::sagas;
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
    let mut checks: Vec<_> = read_models::IN_TABLES
        .iter()
        // Those are the operators', who ask elsewhere.
        .filter(|model| model.name != sagas::NAME)
        .map(|model| checks::readable(pool.clone(), model.name))
        .collect();
    checks.push(checks::searchable(api.search_reader().clone()));
    let part = Part {
        routes: OpenApiRouter::new().nest(API_PREFIX, api.router()),
        checks,
        ..Part::default()
    };
    Ok((part, api))
}
