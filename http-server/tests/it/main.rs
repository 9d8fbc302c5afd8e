//! A real server on a port of its own, asked over TCP.
#![expect(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod auth;
mod cors;
mod deadlines;
mod edge;
mod framing;
mod inside;
mod keys;
mod operations;
mod rates;
mod server;
mod services;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use http_server::{EdgeConfig, Server, ServerLimits};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Whatever a test waits for must have come by then.
const DEADLINE: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start(router: Router, config: EdgeConfig) -> Self {
        Self::start_with(router, config, ServerLimits::default()).await
    }

    async fn start_with(router: Router, config: EdgeConfig, limits: ServerLimits) -> Self {
        let server = Server::bind(([127, 0, 0, 1], 0).into())
            .await
            .unwrap()
            .with_limits(limits);
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let served =
            tokio::spawn(server.serve(http_server::edge(router, config), shutdown.clone()));
        Running {
            address,
            shutdown,
            served,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    /// Asks the server to stop and waits until it has.
    async fn stop(self) {
        self.shutdown.cancel();
        within(self.served).await.unwrap().unwrap();
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("within the deadline")
}

/// Asserts that the answer is a problem of this code, and returns it.
async fn problem(response: reqwest::Response, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["code"], code);
    assert_eq!(body["type"], format!("/problems/{code}"));
    assert_eq!(body["trace_id"].as_str().map(str::len), Some(32), "{body}");
    body
}
