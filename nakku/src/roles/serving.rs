//! A process that serves: its port, its routes, its work in the background, its end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use http_server::health::{Check, Readiness, operations};
use http_server::{
    EdgeConfig, Limits, Server, ServerLimits, ServiceToken, Verifier, edge, openapi,
};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;
use utoipa::openapi::OpenApi;

use super::phase::Phase;
use super::workers::{Worker, Workers};
use crate::config::Config;
use crate::{open_files, output};

/// Between two looks at dependencies that are not there yet.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// How often a start that takes long says what it waits for.
const WAITING_SAID_EVERY: Duration = Duration::from_secs(5);

/// A process with its port taken.
pub(super) struct Serving {
    /// The role's name, in metrics and in `/version`.
    pub(super) role: &'static str,
    pub(super) server: Server,
    pub(super) config: Arc<Config>,
    /// Asks it to end.
    pub(super) shutdown: CancellationToken,
    /// Asks its work in the background to end.
    pub(super) stop: CancellationToken,
}

/// What a process answers and does.
pub(super) struct Served {
    pub(super) front: Front,
    /// Its readiness rests on these.
    pub(super) dependencies: Vec<Check>,
    pub(super) workers: Vec<Worker>,
}

/// What a process answers, and to whom.
pub(super) struct Front {
    /// In full, not wrapped in an edge.
    pub(super) routes: Router,
    pub(super) document: OpenApi,
    pub(super) verifier: Verifier,
    pub(super) door: Door,
}

/// Who comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Everybody; nobody is taken for one of our services.
    Public,
    /// Also other services, which the service token tells.
    Internal,
}

impl Serving {
    /// Serves until it is asked to end. `prepare` runs once everything is under way; when it is through and every dependency
    /// is there, the `ready` line is printed, after `lines`.
    ///
    /// The end: not ready, no new connection, running requests finished, workers and their leases done.
    ///
    /// # Errors
    /// What `prepare` says, or the first worker that cannot go on. The end is in order all the same.
    pub(super) async fn run(
        self,
        served: Served,
        prepare: impl Future<Output = anyhow::Result<()>>,
        lines: impl FnOnce(&str) -> Vec<String>,
    ) -> anyhow::Result<()> {
        let Serving {
            role,
            server,
            config,
            shutdown,
            stop,
        } = self;
        let Served {
            front,
            dependencies,
            workers,
        } = served;
        let phase = Phase::default();
        let checks = std::iter::once(phase.check()).chain(dependencies.iter().cloned());
        let router = front.router(&config, operations(role, checks.collect()));
        let url = url(server.local_addr());
        let server = server.with_limits(ServerLimits {
            connections: open_files::connections(config.connections_max),
            ..ServerLimits::default()
        });

        let mut workers = Workers::start(workers, stop);
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
        };

        phase.stop();
        stop_serving.cancel();
        let served = server.await.context("the server broke down");
        let stopped = workers.stop().await;
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

impl Front {
    /// Everything that a process answers, inside one edge.
    fn router(self, config: &Config, operations: Router) -> Router {
        let queries = openapi::KnownQueries::of(&self.document);
        let mut router = self.routes.merge(operations);
        if !self.document.paths.paths.is_empty() {
            router = router.merge(openapi::routes(self.document));
        }
        let service_token = config
            .service_token
            .as_ref()
            .filter(|_| self.door == Door::Internal)
            .map(|token| ServiceToken::new(token.expose_secret()));
        let edge_config = EdgeConfig {
            verifier: Some(self.verifier),
            limits: Limits {
                rate_per_second: config.rate_per_second,
                rate_burst: config.rate_burst,
                running: config.requests_max,
                ..Limits::default()
            },
            streamed: gateway::routes::STREAMED_ROUTES,
            own_buckets: gateway::routes::OWN_BUCKETS,
            queries,
            service_token,
            trusted_proxies: config.trusted_proxies.clone(),
            cors: config.cors_origins.clone(),
        };
        edge(router, edge_config)
    }
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
