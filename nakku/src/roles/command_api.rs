//! Commands.

use std::sync::Arc;

use command_api::elsewhere::HttpService;
use command_api::{API_PREFIX, CommandApi};
use secrecy::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;

use super::part::{Part, Resources};
use crate::config::{Config, ConfigError, Context};

/// Hosts these contexts; tokens and their keys come from the one that users belong to.
pub(super) async fn part(resources: &Resources, contexts: &[Context]) -> anyhow::Result<Part> {
    let api = CommandApi::new(resources.store().await?, resources.signer()?);
    let api = among_services(api, &resources.config, contexts)?;
    let hosted: Vec<command_api::Context> = contexts.iter().copied().map(hosted).collect();
    let mut routes = OpenApiRouter::new()
        .nest(API_PREFIX, command_api::router(api.clone(), &hosted))
        .merge(command_api::internal(api.clone(), &hosted));
    if contexts.contains(&Context::Users) {
        routes = routes.merge(command_api::well_known(api));
    }
    Ok(Part {
        routes,
        ..Part::default()
    })
}

/// What can be said without starting anything.
pub(super) fn check(config: &Config) -> anyhow::Result<()> {
    services(config, &config.contexts).map(|_| ())
}

/// What is not hosted here is asked for where it is, if that is set.
fn among_services(
    mut api: CommandApi,
    config: &Config,
    contexts: &[Context],
) -> anyhow::Result<CommandApi> {
    if let Some(token) = &config.service_token {
        api = api.with_service_token(token.expose_secret());
    }
    let Services { users, products } = services(config, contexts)?;
    if let Some(users) = users {
        api = api.with_user_directory(users);
    }
    if let Some(products) = products {
        api = api.with_catalogue(products);
    }
    Ok(api)
}

/// Those of other processes.
struct Services {
    users: Option<Arc<HttpService>>,
    products: Option<Arc<HttpService>>,
}

fn services(config: &Config, contexts: &[Context]) -> anyhow::Result<Services> {
    let elsewhere = |context: Context, url: &Option<String>| {
        let url = url.as_ref().filter(|_| !contexts.contains(&context));
        url.map(|url| service(config, url)).transpose()
    };
    Ok(Services {
        users: elsewhere(Context::Users, &config.user_service_url)?,
        products: elsewhere(Context::Products, &config.product_service_url)?,
    })
}

fn service(config: &Config, url: &str) -> anyhow::Result<Arc<HttpService>> {
    let token = config.service_token.as_ref();
    let token = token.ok_or(ConfigError::Missing("service_token"))?;
    Ok(Arc::new(HttpService::new(url, token.expose_secret())?))
}

fn hosted(context: Context) -> command_api::Context {
    match context {
        Context::Users => command_api::Context::Users,
        Context::Products => command_api::Context::Products,
        Context::Inventory => command_api::Context::Inventory,
        Context::Orders => command_api::Context::Orders,
        Context::Payments => command_api::Context::Payments,
        Context::Deliveries => command_api::Context::Deliveries,
    }
}
