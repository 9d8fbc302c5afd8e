//! What an upstream saw and did.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A request that came whole, as it came.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UpstreamRequest {
    /// By which connection.
    pub connection: u64,
    /// As `POST`.
    pub method: String,
    /// As on the request line.
    pub target: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The first `Idempotency-Key`.
    pub key: Option<String>,
    /// How long its body was.
    pub body_bytes: u64,
    /// Lower-case hexadecimal.
    pub body_sha256: String,
    /// When, in seconds since 1970 by its clock.
    pub at: f64,
}

impl UpstreamRequest {
    /// All values of a header, its name in any case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let of_name = |(each, _): &&(String, String)| each.eq_ignore_ascii_case(name);
        let values = self.headers.iter().filter(of_name);
        values.map(|(_, value)| value.as_str()).collect()
    }
}

/// A POST that had an effect, answered or not.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct UpstreamEffect {
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    /// By which connection.
    pub connection: u64,
    /// Whether the key had had its effect before, so that this is none.
    pub repeated: bool,
    /// When, in seconds since 1970 by its clock.
    pub at: f64,
}

/// A connection that was taken.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConnection {
    /// Counted from 1.
    pub connection: u64,
    /// When, in seconds since 1970 by its clock.
    pub opened_at: f64,
    /// By whom and when it ended.
    pub closed: Option<(ClosedBy, f64)>,
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClosedBy {
    /// The client went away.
    Client,
    /// The upstream, because the behaviour says so or the client asked for it.
    Upstream,
    /// The upstream, because no request came.
    Idle,
    /// The upstream, because what came was no request.
    Malformed,
    /// The upstream was killed.
    Killed,
}

/// A line of `connections.jsonl`.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum ConnectionEvent {
    Opened {
        connection: u64,
        at: f64,
    },
    Closed {
        connection: u64,
        by: ClosedBy,
        at: f64,
    },
}

/// What became of each connection.
pub(super) fn connections(events: Vec<ConnectionEvent>) -> Vec<UpstreamConnection> {
    let mut connections = BTreeMap::new();
    for event in events {
        match event {
            ConnectionEvent::Opened { connection, at } => {
                let opened = UpstreamConnection {
                    connection,
                    opened_at: at,
                    closed: None,
                };
                connections.insert(connection, opened);
            }
            ConnectionEvent::Closed { connection, by, at } => {
                let opened = connections.get_mut(&connection);
                opened.expect("it was opened").closed = Some((by, at));
            }
        }
    }
    connections.into_values().collect()
}
