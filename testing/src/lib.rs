//! For tests only: a database of their own on the test server, topics of their own on the test broker, servers of others to
//! talk to, and waiting for conditions without sleeping through a guessed time.
//!
//! The engines come from `scripts/with-engines`, which names them in the environment. A missing one fails the test: nothing
//! is skipped.

mod database;
mod server;
mod until;

pub use database::{Database, database, empty_database, server_url};
pub use server::{
    ClosedBy, Mail, MailServer, Payment, PaymentProviderProcess, PaymentRequest, Performed,
    Protection, UpstreamBehaviour, UpstreamConnection, UpstreamEffect, UpstreamProcess,
    UpstreamRequest, WebhookCall, WebhookReceiver,
};
pub use until::until;

/// Names the PostgreSQL server of the tests: the URL of a superuser.
pub const DATABASE_URL_VARIABLE: &str = "NAKKU_TEST_DATABASE_URL";

/// Names the Kafka brokers of the tests: `HOST:PORT`, several by comma.
pub const KAFKA_BROKERS_VARIABLE: &str = "NAKKU_TEST_KAFKA_BROKERS";

/// The bootstrap list of the test broker, as `127.0.0.1:9092`.
///
/// # Panics
/// When no broker is named in the environment.
pub fn kafka_brokers() -> String {
    required(KAFKA_BROKERS_VARIABLE, "a Kafka broker", "--kafka ")
}

/// A prefix for topic names that no other test uses, as `test-0198c0ffee…-`.
pub fn topic_prefix() -> String {
    format!("test-{}-", uuid::Uuid::now_v7().simple())
}

fn required(variable: &str, engine: &str, option: &str) -> String {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{variable} is not set, and this test needs {engine}: run `make test`, or `scripts/with-engines {option}cargo test …`"
        ),
    }
}
