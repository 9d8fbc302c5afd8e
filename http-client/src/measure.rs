//! What is counted.

use std::sync::Arc;

use crate::status::CircuitState;

/// Describes the metrics of this crate to the process's recorder.
pub fn describe_metrics() {
    metrics::describe_gauge!(
        "nakku_circuit_state",
        "Circuit breaker of an instance: 0 closed, 1 half-open, 2 open"
    );
    metrics::describe_counter!(
        "nakku_upstream_attempts_total",
        "Attempts at calls of an upstream, by what came of them"
    );
    metrics::describe_counter!(
        "nakku_upstream_retries_total",
        "Repetitions of calls of an upstream, by reason"
    );
    metrics::describe_counter!(
        "nakku_upstream_retries_refused_total",
        "Repetitions that the budget of an upstream did not allow"
    );
    metrics::describe_counter!(
        "nakku_upstream_ejections_total",
        "Instances of an upstream left out for a while, by reason"
    );
}

pub(crate) fn circuit(upstream: &Arc<str>, instance: &Arc<str>, state: CircuitState) {
    let state = match state {
        CircuitState::Closed => 0.0,
        CircuitState::HalfOpen => 1.0,
        CircuitState::Open => 2.0,
    };
    let (upstream, instance) = (Arc::clone(upstream), Arc::clone(instance));
    metrics::gauge!("nakku_circuit_state", "upstream" => upstream, "instance" => instance)
        .set(state);
}

pub(crate) fn attempt(upstream: &Arc<str>, outcome: &'static str) {
    let upstream = Arc::clone(upstream);
    metrics::counter!("nakku_upstream_attempts_total", "upstream" => upstream, "outcome" => outcome)
        .increment(1);
}

pub(crate) fn repetition(upstream: &Arc<str>, reason: &'static str) {
    let upstream = Arc::clone(upstream);
    metrics::counter!("nakku_upstream_retries_total", "upstream" => upstream, "reason" => reason)
        .increment(1);
}

pub(crate) fn refused_repetition(upstream: &Arc<str>) {
    let upstream = Arc::clone(upstream);
    metrics::counter!("nakku_upstream_retries_refused_total", "upstream" => upstream).increment(1);
}

pub(crate) fn ejection(upstream: &Arc<str>, reason: &'static str) {
    let upstream = Arc::clone(upstream);
    metrics::counter!("nakku_upstream_ejections_total", "upstream" => upstream, "reason" => reason)
        .increment(1);
}
