//! The operators' API.

use admin_api::AdminApi;
use command_api::API_PREFIX;
use utoipa_axum::router::OpenApiRouter;

use super::part::{Part, Resources};

pub(super) async fn part(resources: &Resources) -> anyhow::Result<Part> {
    let api = AdminApi::new(resources.store().await?, resources.config.patience());
    Ok(Part {
        routes: OpenApiRouter::new().nest(API_PREFIX, api.router()),
        ..Part::default()
    })
}
