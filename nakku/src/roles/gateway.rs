//! The one public door.

use std::collections::HashMap;
use std::sync::Arc;

use gateway::{Service, Upstreams};
use http_client::{ServiceUrl, Upstream};
use http_server::{Server, Verifier};
use tokio_util::sync::CancellationToken;

use super::services;
use super::serving::{Door, Front, Served, Serving};
use crate::config::{Config, ServiceUrls};
use crate::verbs::openapi_document;
use crate::{shutdown, telemetry};

/// The role's name where a process has one.
const NAME: &str = "gateway";
/// Where it listens unless it is told otherwise.
const PORT: u16 = 8080;

/// Runs the gateway until it is asked to end. It needs no database, and its readiness rests on no other service: those that
/// are away are told by the requests that need them.
///
/// # Errors
/// One line: the service token is not set, or the port is taken.
pub async fn run(config: Config) -> anyhow::Result<()> {
    telemetry::install_metrics();
    let upstreams = upstreams(&config)?;
    let shutdown = shutdown::on_signals()?;
    let server = Server::bind(config.listen_or(PORT)).await?;
    let users = upstreams[&Service::Users].clone();
    let front = Front {
        routes: gateway::router(&Upstreams::remote(|service| upstreams[&service].clone())),
        document: openapi_document(),
        verifier: Verifier::fetched(move || {
            let users = users.clone();
            async move { gateway::keys::fetch(&users).await }
        }),
        door: Door::Public,
    };
    let served = Served {
        front,
        dependencies: Vec::new(),
        workers: Vec::new(),
    };
    let serving = Serving {
        role: NAME,
        server,
        config: Arc::new(config),
        shutdown,
        stop: CancellationToken::new(),
    };
    serving
        .run(served, std::future::ready(Ok(())), |_| Vec::new())
        .await
}

fn upstreams(config: &Config) -> anyhow::Result<HashMap<Service, Upstream>> {
    let upstream = |service: Service| {
        let instances = instances(&config.services, service)?;
        let upstream = services::upstream(config, service.name(), &instances)?;
        anyhow::Ok((service, upstream))
    };
    Service::ALL.into_iter().map(upstream).collect()
}

/// As set, else the role's own port on this machine.
fn instances(services: &ServiceUrls, service: Service) -> anyhow::Result<Vec<ServiceUrl>> {
    let (set, port) = match service {
        Service::Users => (&services.users, 8081),
        Service::Products => (&services.products, 8081),
        Service::Inventory => (&services.inventory, 8081),
        Service::Orders => (&services.orders, 8081),
        Service::Payments => (&services.payments, 8081),
        Service::Deliveries => (&services.deliveries, 8081),
        Service::Queries => (&services.queries, 8082),
        Service::Admin => (&services.admin, 8086),
    };
    if set.is_empty() {
        Ok(vec![format!("http://127.0.0.1:{port}").parse()?])
    } else {
        Ok(set.clone())
    }
}
