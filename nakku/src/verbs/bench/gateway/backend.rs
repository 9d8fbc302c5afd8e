//! A server of this process that a measured client or gateway calls.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use http_client::ServiceUrl;
use http_server::{Server, ServerLimits};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

/// Ends when dropped.
pub(super) struct Backend {
    url: ServiceUrl,
    stop: DropGuard,
    serving: AbortOnDropHandle<std::io::Result<()>>,
}

impl Backend {
    pub(super) async fn start(router: Router, limits: ServerLimits) -> anyhow::Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(any).await?.with_limits(limits);
        let url = format!("http://{}", server.local_addr()).parse()?;
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(router, stop.clone()));
        Ok(Self {
            url,
            stop: stop.drop_guard(),
            serving: AbortOnDropHandle::new(serving),
        })
    }

    pub(super) fn url(&self) -> &ServiceUrl {
        &self.url
    }

    /// Refuses connections from now on; ends those that there are.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        Ok(self.serving.await??)
    }
}
