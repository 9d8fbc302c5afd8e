//! What an upstream does with requests.

use std::time::Duration;

use serde_json::{Value, json};

/// An answer, or a fault instead of it.
#[derive(Debug, Clone)]
pub struct UpstreamBehaviour(pub(super) Value);

impl UpstreamBehaviour {
    /// An answer of this status without a body.
    pub fn answer(status: u16) -> Self {
        Self(json!({"kind": "answer", "status": status, "headers": []}))
    }

    /// An answer with a problem (`application/problem+json`) of this code.
    pub fn problem(status: u16, code: &str) -> Self {
        Self::answer(status).with("problem", json!(code))
    }

    /// An answer of 200 with the request as it came, as JSON.
    pub fn echo() -> Self {
        Self(json!({"kind": "echo"}))
    }

    /// 409 `command-in-flight` to the first `times` requests under one key, then 201.
    pub fn in_flight(times: u32) -> Self {
        Self(json!({"kind": "in-flight", "times": times}))
    }

    /// No answer ever, the connection stays open.
    pub fn silent() -> Self {
        Self(json!({"kind": "silent"}))
    }

    /// The connection's end instead of an answer.
    pub fn hang_up() -> Self {
        Self(json!({"kind": "hang-up"}))
    }

    /// The connection's end after half of a body of `bytes`.
    pub fn hang_up_midway(bytes: usize) -> Self {
        Self(json!({"kind": "hang-up-midway", "body_bytes": bytes}))
    }

    /// A reset of the connection instead of an answer.
    pub fn reset() -> Self {
        Self(json!({"kind": "reset"}))
    }

    /// A reset of the connection after half of a body of `bytes`.
    pub fn reset_midway(bytes: usize) -> Self {
        Self(json!({"kind": "reset-midway", "body_bytes": bytes}))
    }

    /// Server-sent events without end: a comment each `interval`.
    pub fn events(interval: Duration) -> Self {
        Self(json!({"kind": "events", "interval_ms": millis(interval)}))
    }

    /// These characters as bytes, whatever they mean; then the connection is closed, or goes on.
    pub fn raw(text: &str, close: bool) -> Self {
        Self(json!({"kind": "raw", "text": text, "close": close}))
    }

    /// Flapping: each request gets the next of them, after the last one the first one again.
    ///
    /// # Panics
    /// When one of them is itself of several, or there is none.
    pub fn in_turn(behaviours: impl IntoIterator<Item = Self>) -> Self {
        let behaviours: Vec<Value> = behaviours.into_iter().map(|one| one.0).collect();
        assert!(
            !behaviours.is_empty() && behaviours.iter().all(Value::is_object),
            "single behaviours take turns, not {behaviours:?}"
        );
        Self(Value::Array(behaviours))
    }

    /// Adds a header to an answer.
    ///
    /// # Panics
    /// When it is not an answer.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0["headers"]
            .as_array_mut()
            .expect("an answer has headers")
            .push(json!([name, value]));
        self
    }

    /// Gives an answer a body.
    #[must_use]
    pub fn body(self, text: &str) -> Self {
        self.with("body", json!(text))
    }

    /// Gives an answer a body of so many `x`.
    #[must_use]
    pub fn body_bytes(self, bytes: usize) -> Self {
        self.with("body_bytes", json!(bytes))
    }

    /// Sends an answer's body in chunks instead of announcing its length.
    #[must_use]
    pub fn chunked(self) -> Self {
        self.with("chunked", json!(true))
    }

    /// Waits before the answer begins, after the effect.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.with("delay_ms", json!(millis(delay)))
    }

    /// Reads the request's body no faster.
    #[must_use]
    pub fn read_bytes_per_second(self, bytes: u32) -> Self {
        self.with("read_bytes_per_second", json!(bytes))
    }

    /// Whether a POST has an effect: otherwise it has, unless the answer is a status outside of 2xx.
    #[must_use]
    pub fn effect(self, effect: bool) -> Self {
        self.with("effect", json!(effect))
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.0[member] = value;
        self
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a test takes less than an age")
}
