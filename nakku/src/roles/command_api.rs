//! Commands.

use std::sync::Arc;

use command_api::elsewhere::HttpService;
use command_api::{API_PREFIX, CommandApi};
use http_client::{ServiceUrl, Upstream};
use utoipa_axum::router::OpenApiRouter;

use super::part::{Part, Resources};
use super::services;
use crate::config::{Config, Context};

/// The configured contexts; tokens and their keys come from the one that users belong to.
pub(super) async fn part(resources: &Resources) -> anyhow::Result<Part> {
    Ok(beside(&api(resources).await?, resources))
}

/// The role alone: it answers other services too.
pub(super) async fn part_alone(resources: &Resources) -> anyhow::Result<Part> {
    let api = api(resources).await?;
    let internal = command_api::internal(api.clone(), &hosted(resources));
    let part = beside(&api, resources);
    Ok(Part {
        routes: part.routes.merge(internal),
        ..part
    })
}

async fn api(resources: &Resources) -> anyhow::Result<CommandApi> {
    let api = CommandApi::new(resources.store().await?, resources.signer()?);
    among_services(api, &resources.config)
}

fn beside(api: &CommandApi, resources: &Resources) -> Part {
    let hosted = hosted(resources);
    let mut routes =
        OpenApiRouter::new().nest(API_PREFIX, command_api::router(api.clone(), &hosted));
    if hosted.contains(&command_api::Context::Users) {
        routes = routes.merge(command_api::well_known(api.clone()));
    }
    Part {
        routes,
        ..Part::default()
    }
}

/// What can be said without starting anything.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    services(config).map(|_| ())
}

/// What is not hosted here is asked for where it is, if that is set.
fn among_services(mut api: CommandApi, config: &Config) -> anyhow::Result<CommandApi> {
    let Services { users, products } = services(config)?;
    if let Some(users) = users {
        api = api.with_user_directory(Arc::new(HttpService::new(users)));
    }
    if let Some(products) = products {
        api = api.with_catalogue(Arc::new(HttpService::new(products)));
    }
    Ok(api)
}

/// Those of other processes.
struct Services {
    users: Option<Upstream>,
    products: Option<Upstream>,
}

fn services(config: &Config) -> anyhow::Result<Services> {
    let elsewhere = |context: Context, name, instances: &[ServiceUrl]| {
        if instances.is_empty() || config.contexts.contains(&context) {
            return Ok(None);
        }
        services::upstream(config, name, instances).map(Some)
    };
    Ok(Services {
        users: elsewhere(Context::Users, "users", &config.services.users)?,
        products: elsewhere(Context::Products, "products", &config.services.products)?,
    })
}

fn hosted(resources: &Resources) -> Vec<command_api::Context> {
    let contexts = resources.config.contexts.iter();
    contexts.map(|context| context_of(*context)).collect()
}

fn context_of(context: Context) -> command_api::Context {
    match context {
        Context::Users => command_api::Context::Users,
        Context::Products => command_api::Context::Products,
        Context::Inventory => command_api::Context::Inventory,
        Context::Orders => command_api::Context::Orders,
        Context::Payments => command_api::Context::Payments,
        Context::Deliveries => command_api::Context::Deliveries,
    }
}
