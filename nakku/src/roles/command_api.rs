//! Commands.

use command_api::{API_PREFIX, CommandApi};
use utoipa_axum::router::OpenApiRouter;

use super::part::{Part, Resources};
use crate::config::Context;

/// Hosts these contexts; tokens and their keys come from the one that users belong to.
pub(super) async fn part(resources: &Resources, contexts: &[Context]) -> anyhow::Result<Part> {
    let api = CommandApi::new(resources.store().await?, resources.signer()?);
    let hosted: Vec<command_api::Context> = contexts.iter().copied().map(hosted).collect();
    let mut routes =
        OpenApiRouter::new().nest(API_PREFIX, command_api::router(api.clone(), &hosted));
    if contexts.contains(&Context::Users) {
        routes = routes.merge(command_api::well_known(api));
    }
    Ok(Part {
        routes,
        ..Part::default()
    })
}

fn hosted(context: Context) -> command_api::Context {
    match context {
        Context::Users => command_api::Context::Users,
        Context::Products => command_api::Context::Products,
        Context::Inventory => command_api::Context::Inventory,
    }
}
