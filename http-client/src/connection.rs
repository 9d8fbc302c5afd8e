//! The way to one instance: a pool of connections and how they are opened.

mod counted;

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tower_service::Service;

use crate::body::{Body, BoxError};
use counted::Counted;

pub(crate) use counted::HasAnswered;

/// The pool of one instance.
pub(crate) type Connections = Client<Connector, Body>;

/// Opens connections within a bound that holds for the name's resolution, TCP and TLS together.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    inner: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("no connection within {0:?}")]
struct NoConnection(Duration);

impl Connector {
    pub(crate) fn new(tls: ClientConfig, timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Shared between the addresses of a name, so that one of them that is a black hole leaves time for the next.
        tcp.set_connect_timeout(Some(timeout));
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Connector { inner, timeout }
    }

    /// A pool that keeps `idle_max` connections between calls.
    pub(crate) fn pool(&self, idle_max: usize, idle_timeout: Duration) -> Connections {
        Client::builder(TokioExecutor::new())
            // Without it the idle timeout does nothing.
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(idle_timeout)
            .pool_max_idle_per_host(idle_max)
            .build(self.clone())
    }
}

impl Service<Uri> for Connector {
    type Response = Counted<<HttpsConnector<HttpConnector> as Service<Uri>>::Response>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let timeout = self.timeout;
        Box::pin(async move {
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connected) => connected.map(|inner| Counted {
                    inner,
                    has_answered: HasAnswered::default(),
                }),
                Err(_) => Err(NoConnection(timeout).into()),
            }
        })
    }
}
