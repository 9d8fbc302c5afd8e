//! The commands on orders and deliveries as a process, over HTTP as `nakku command-api` has them.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use command_api::{API_PREFIX, CommandApi, Context, STREAMED_ROUTES};
use faults::{At, Child, trade};
use http_server::{EdgeConfig, Server, Signer, Verifier, edge};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

/// A request needs one at a time.
const CONNECTIONS_MAX: u32 = 10;
/// As in `nakku`.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// What it is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// The database of the log.
    url: String,
    /// Names its connections.
    holder: String,
    /// The private key that the clients' tokens are signed with, PKCS#8.
    signing_key: Vec<u8>,
    /// Where it ends itself.
    at: Option<At>,
}

/// Serves until SIGTERM; tells the port that it listens on.
pub(crate) async fn run(told: Told) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&told.url)?.application_name(&told.holder);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        .connect_lazy_with(options);
    let store = trade::open(pool).await?;
    if let Some(at) = told.at {
        at.arm();
    }
    let signer = Signer::new("test", &told.signing_key)?;
    let verifier = Verifier::new([signer.public_key().clone()]);
    let api = CommandApi::new(store.clone(), signer);
    let routes = OpenApiRouter::new().nest(
        API_PREFIX,
        command_api::router(api, &[Context::Orders, Context::Deliveries]),
    );
    let (router, _) = http_server::openapi::split(routes);
    let config = EdgeConfig {
        verifier: Some(verifier),
        streamed: STREAMED_ROUTES,
        ..EdgeConfig::default()
    };
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminated.recv().await;
        stop.cancel();
    });
    let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    Child::tell(&server.local_addr().port());
    server.serve(edge(router, config), shutdown).await?;
    store.close().await;
    Ok(())
}
