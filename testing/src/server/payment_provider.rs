//! A payment provider in another process, with a record of its own of what it did.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::Server;

/// A provider by the protocol of `docs/payments.md`. What it does with a charge is said by the charge's token: the table is
/// at the head of `testing/python/payment_provider.py`. Dropping it kills it.
#[derive(Debug)]
pub struct PaymentProviderProcess {
    server: Server,
    scheme: &'static str,
}

/// One line of its record: something that it did, once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Performed {
    /// What.
    #[serde(rename = "type")]
    pub payment: Payment,
    /// The idempotency key under which: the payment's id.
    pub key: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// Of which currency, as `EUR`.
    pub currency: String,
    /// Its name for it; none of a key that was voided.
    pub reference: Option<String>,
    /// The token charged; none of a key that was voided.
    pub token: Option<String>,
}

/// What a provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payment {
    /// Money was taken.
    Charged,
    /// Money was given back.
    Refunded,
    /// A refund came before its charge: nothing will be charged under the key.
    Voided,
}

/// A request that came, whatever became of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct PaymentRequest {
    /// As `/charges`.
    pub path: String,
    /// The idempotency key.
    pub key: Option<String>,
    /// When, in seconds since 1970 by its clock.
    pub at: f64,
}

impl PaymentProviderProcess {
    /// Starts one with its files in `dir`: those of an earlier one there are taken over.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path) -> Self {
        Self {
            server: Server::start("payment_provider.py", dir, json!({})),
            scheme: "http",
        }
    }

    /// One that wants a bearer token.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with_bearer(dir: &Path, bearer: &str) -> Self {
        let settings = json!({"bearer": bearer});
        Self {
            server: Server::start("payment_provider.py", dir, settings),
            scheme: "http",
        }
    }

    /// One that speaks TLS, with a certificate of an authority of its own.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_with_tls(dir: &Path) -> Self {
        Self {
            server: Server::start("payment_provider.py", dir, json!({"tls": true})),
            scheme: "https",
        }
    }

    /// Its address, as `http://127.0.0.1:4711`.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.server.port)
    }

    /// The certificate (PEM) to trust.
    ///
    /// # Panics
    /// When it does not speak TLS.
    pub fn authority(&self) -> Vec<u8> {
        self.server.authority()
    }

    /// All that it ever did, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn record(&self) -> Vec<Performed> {
        self.server.lines("record.jsonl")
    }

    /// All requests that ever came, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn requests(&self) -> Vec<PaymentRequest> {
        self.server.lines("requests.jsonl")
    }

    /// kill -9. What it did stays in its record.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again after [`PaymentProviderProcess::kill`], at the same address and with the same record.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self) {
        self.server.restart();
    }
}
