//! An instance, as operators see it.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// Whether an instance's circuit breaker lets calls through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CircuitState {
    /// All of them.
    Closed,
    /// None.
    Open,
    /// One at a time, as a probe.
    HalfOpen,
}

/// An instance of an upstream, now.
#[derive(Debug, Clone, Serialize)]
pub struct InstanceStatus {
    pub instance: String,
    pub state: CircuitState,
    /// Attempts since the instance is known.
    pub requests: u64,
    /// Of these, those that failed.
    pub failures: u64,
    pub in_flight: usize,
    /// Smoothed; a peak counts at once.
    pub latency_ms: f64,
    /// Until when it is left out for being slow or failing often.
    pub ejected_until: Option<DateTime<Utc>>,
}
