//! A process that serves: its port, its parts, its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use http_server::health::{Check, Readiness, operations};
use http_server::{EdgeConfig, Limits, Server, ServerLimits, edge, openapi};
use tokio_util::sync::CancellationToken;

use super::part::{Part, Resources};
use super::phase::Phase;
use super::workers::Workers;
use super::{checks, connections, documented};
use crate::{open_files, output};

/// Between two looks at dependencies that are not there yet.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// How often a start that takes long says what it waits for.
const WAITING_SAID_EVERY: Duration = Duration::from_secs(5);

/// A process with its port taken and its resources in reach.
pub(super) struct Serving {
    /// The role's name, in metrics and in `/version`.
    pub(super) role: &'static str,
    pub(super) server: Server,
    pub(super) resources: Resources,
    /// Asks it to end.
    pub(super) shutdown: CancellationToken,
}

impl Serving {
    /// Serves the part until it is asked to end. `prepare` runs once everything is under way; when it is through and every
    /// dependency is there, the `ready` line is printed, after `lines`.
    ///
    /// The end: not ready, no new connection, running requests finished, workers and their leases done, commands settled.
    ///
    /// # Errors
    /// What `prepare` says, or the first worker that cannot go on. The end is in order all the same.
    pub(super) async fn run(
        self,
        part: Part,
        prepare: impl Future<Output = anyhow::Result<()>>,
        lines: impl FnOnce(&str) -> Vec<String>,
    ) -> anyhow::Result<()> {
        let Serving {
            role,
            server,
            resources,
            shutdown,
        } = self;
        let phase = Phase::default();
        let dependencies = dependencies(&resources, part.needs_kafka, part.checks);
        let router = router(role, &resources, &phase, part.routes, &dependencies);
        let url = url(server.local_addr());
        let server = server.with_limits(ServerLimits {
            connections: open_files::connections(resources.config.connections_max),
            ..ServerLimits::default()
        });

        let mut workers = Workers::start(part.workers, resources.stop.clone());
        let stop_serving = CancellationToken::new();
        let server = tokio::spawn(server.serve(router, stop_serving.clone()));
        let start = async {
            prepare.await?;
            until_ready(&dependencies).await;
            phase.run();
            for line in lines(&url) {
                output::announce(&line);
            }
            output::announce(&format!("ready {url}"));
            anyhow::Ok(())
        };
        let result = tokio::select! {
            // A signal beats a failure that it may have caused.
            biased;
            () = shutdown.cancelled() => Ok(()),
            error = workers.failure() => Err(error),
            error = failure(start) => Err(error),
            never = connections::report(resources.pool.clone()) => match never {},
        };

        phase.stop();
        stop_serving.cancel();
        let served = server.await.context("the server broke down");
        // The store last: what workers finish now, they still have to write down.
        let stopped = workers.stop().await;
        if let Some(store) = resources.opened_store() {
            store.close().await;
        }
        result?;
        served??;
        stopped
    }
}

/// The error of a start; a start that succeeds leaves the process to run.
async fn failure(start: impl Future<Output = anyhow::Result<()>>) -> anyhow::Error {
    match start.await {
        Ok(()) => std::future::pending().await,
        Err(error) => error,
    }
}

fn dependencies(resources: &Resources, needs_kafka: bool, of_part: Vec<Check>) -> Vec<Check> {
    let mut dependencies = vec![checks::postgres(resources.pool.clone())];
    let kafka = resources.kafka.clone().filter(|_| needs_kafka);
    dependencies.extend(kafka.map(checks::kafka));
    dependencies.extend(of_part);
    dependencies
}

/// Everything that a process answers, inside one edge.
fn router(
    role: &'static str,
    resources: &Resources,
    phase: &Phase,
    routes: utoipa_axum::router::OpenApiRouter,
    dependencies: &[Check],
) -> Router {
    let checks = std::iter::once(phase.check())
        .chain(dependencies.iter().cloned())
        .collect();
    let (routes, mut document) = openapi::split(routes);
    let queries = openapi::KnownQueries::of(&document);
    let mut router = routes.merge(operations(role, checks));
    if !document.paths.paths.is_empty() {
        documented::describe(&mut document);
        router = router.merge(openapi::routes(document));
    }
    let config = &resources.config;
    let limits = Limits {
        rate_per_second: config.rate_per_second,
        rate_burst: config.rate_burst,
        running: config.requests_max,
        ..Limits::default()
    };
    let verifier = Some(resources.verifier());
    let streamed = ::command_api::STREAMED_ROUTES;
    edge(
        router,
        EdgeConfig {
            verifier,
            limits,
            streamed,
            queries,
        },
    )
}

/// Waits until every dependency is there. A start that hangs says on what.
async fn until_ready(dependencies: &[Check]) {
    let mut said_at = tokio::time::Instant::now();
    loop {
        let readiness = Readiness::of(dependencies).await;
        if readiness.ready {
            return;
        }
        if said_at.elapsed() >= WAITING_SAID_EVERY {
            said_at = tokio::time::Instant::now();
            for check in readiness.checks.into_iter().filter(|check| !check.ok) {
                tracing::warn!(
                    dependency = check.name,
                    reason = check.detail,
                    "not ready yet"
                );
            }
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

/// Where clients of this machine reach the server.
fn url(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_address_can_be_opened() {
        let shown = |text: &str| url(text.parse().unwrap());
        assert_eq!(shown("0.0.0.0:8080"), "http://127.0.0.1:8080");
        assert_eq!(shown("[::]:8080"), "http://[::1]:8080");
        assert_eq!(shown("10.0.0.7:1"), "http://10.0.0.7:1");
    }
}
