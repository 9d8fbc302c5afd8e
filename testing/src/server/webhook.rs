//! The receiver of a web hook in another process.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Server;

/// A receiver that verifies signatures with the library of Standard Webhooks. How it answers is asked for by the path: the
/// table is at the head of `testing/python/webhook_receiver.py`. Dropping it kills it.
#[derive(Debug)]
pub struct WebhookReceiver {
    server: Server,
    scheme: &'static str,
}

/// A call that came whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookCall {
    /// As `/status/200`.
    pub path: String,
    /// By lower-cased name.
    pub headers: BTreeMap<String, String>,
    /// Its body.
    pub body: Value,
    /// Whether the signature and its age were right.
    pub verified: bool,
}

impl WebhookReceiver {
    /// Starts one that shares `secret` (`whsec_…`), with its files in `dir`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path, secret: &str) -> Self {
        Self {
            server: Server::start("webhook_receiver.py", dir, json!({"secret": secret})),
            scheme: "http",
        }
    }

    /// One that speaks TLS, with a certificate of an authority of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with_tls(dir: &Path, secret: &str) -> Self {
        let settings = json!({"secret": secret, "tls": true});
        Self {
            server: Server::start("webhook_receiver.py", dir, settings),
            scheme: "https",
        }
    }

    /// The address of a path, as `http://127.0.0.1:4711/status/200`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.server.port)
    }

    /// The certificate (PEM) to trust.
    ///
    /// # Panics
    /// When it does not speak TLS.
    pub fn authority(&self) -> Vec<u8> {
        self.server.authority()
    }

    /// All calls that ever came, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn calls(&self) -> Vec<WebhookCall> {
        self.server.lines("calls.jsonl")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}
