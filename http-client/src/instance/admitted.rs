//! A call on its way through an instance.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Charge, Health, Instance};
use crate::circuit::Permit;
use crate::latency::PeakEwma;
use crate::measure;

/// A refusal is quick. Whoever refuses is not taken for the fastest.
const REFUSAL_COST: Duration = Duration::from_millis(100);

/// Counts a call as in flight until it is dropped, with the end of the answer's body.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Instance>);

impl InFlight {
    pub(super) fn new(instance: &Arc<Instance>) -> Self {
        instance.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(instance))
    }

    pub(crate) fn instance(&self) -> &Arc<Instance> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What came of an attempt, for its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// An answer that shows that all is well.
    Success,
    /// An answer that says nothing about the instance: of its own problems, or of the client's.
    Answer,
    /// A refusal: 500, 503 and the like. Says nothing either, but is quick.
    Refusal,
    /// An answer that says that what is behind it failed: 502, 504.
    FailedBehind,
    /// No connection.
    NotConnected,
    /// A kept connection broke: it was being closed for being idle, or all of them break, and the next one tells.
    Stale,
    /// A new connection broke.
    Reset,
    /// The attempt's own time passed.
    TimedOut,
    /// The client's time passed, or its body did not come.
    InVain,
    /// The caller went away.
    Cancelled,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Outcome::Success | Outcome::Answer | Outcome::Refusal | Outcome::FailedBehind => {
                "answered"
            }
            Outcome::NotConnected => "connect",
            Outcome::Stale => "stale",
            Outcome::Reset => "reset",
            Outcome::TimedOut => "timeout",
            Outcome::InVain => "in-vain",
            Outcome::Cancelled => "cancelled",
        }
    }

    fn is_failure(self) -> bool {
        matches!(
            self,
            Outcome::FailedBehind | Outcome::NotConnected | Outcome::Reset | Outcome::TimedOut
        )
    }
}

/// A call that was let through. Dropped, it counts as cancelled.
#[derive(Debug)]
pub(crate) struct Admitted {
    in_flight: InFlight,
    is_finished: bool,
    permit: Permit,
    begun: Instant,
    is_timed: bool,
}

impl Admitted {
    pub(super) fn new(in_flight: InFlight, permit: Permit, begun: Instant, is_timed: bool) -> Self {
        Admitted {
            in_flight,
            is_finished: false,
            permit,
            begun,
            is_timed,
        }
    }

    /// Whom it is sent to.
    pub(crate) fn instance(&self) -> &Arc<Instance> {
        self.in_flight.instance()
    }

    /// Tells the instance what came of it. A failure is charged with `charge` at least, the time that an attempt has: failing
    /// quickly is not being fast.
    pub(crate) fn finish(mut self, outcome: Outcome, charge: Duration) -> InFlight {
        self.record(outcome, charge);
        self.is_finished = true;
        InFlight::new(self.instance())
    }

    fn record(&self, outcome: Outcome, charge: Duration) {
        let instance = &**self.instance();
        let now = Instant::now();
        let took = now.saturating_duration_since(self.begun);
        measure::attempt(&instance.upstream, outcome.label());
        if outcome.is_failure() {
            instance.failures.fetch_add(1, Ordering::Relaxed);
        }
        let (before, after) = {
            let mut health = instance.health.lock();
            let before = health.state();
            self.tell_circuit(&mut health, outcome, now);
            self.tell_latency(&mut health, outcome, took, charge, now);
            self.tell_window(&mut health, outcome, took, now);
            (before, health.state())
        };
        if before != after {
            instance.measure_circuit(after);
            let (upstream, instance) = (&instance.upstream, &instance.name);
            tracing::info!(%upstream, %instance, ?before, ?after, "a circuit breaker turned");
        }
    }

    fn tell_circuit(&self, health: &mut Health, outcome: Outcome, now: Instant) {
        let Some(circuit) = &mut health.circuit else {
            return;
        };
        let closes = match outcome {
            Outcome::Success => circuit.success(self.permit),
            Outcome::Answer | Outcome::Refusal => circuit.answer(self.permit),
            Outcome::Stale | Outcome::InVain | Outcome::Cancelled => {
                circuit.neutral(self.permit, now);
                false
            }
            _ => {
                circuit.failure(self.permit, now, rand::random());
                false
            }
        };
        if closes {
            health.charge = None;
            // What its failures were charged with is over.
            health.latency = PeakEwma::new(now);
        }
    }

    fn tell_latency(
        &self,
        health: &mut Health,
        outcome: Outcome,
        took: Duration,
        charge: Duration,
        now: Instant,
    ) {
        if outcome.is_failure() {
            let (failed, asked) = (now, now);
            health.charge = Some(Charge { failed, asked });
            return health.latency.observe_at_least(took.max(charge), now);
        }
        let is_answer = matches!(outcome, Outcome::Success | Outcome::Answer);
        if is_answer
            && health
                .charge
                .is_some_and(|charge| self.begun > charge.failed)
        {
            health.charge = None;
            health.latency = PeakEwma::new(now);
        }
        let latency = &mut health.latency;
        match outcome {
            Outcome::Refusal => latency.observe_at_least(REFUSAL_COST, now),
            Outcome::Stale => {}
            _ if !self.is_timed => {}
            _ if is_answer => latency.observe(took, now),
            _ => latency.observe_at_least(took, now),
        }
    }

    fn tell_window(&self, health: &mut Health, outcome: Outcome, took: Duration, now: Instant) {
        if matches!(
            outcome,
            Outcome::Stale | Outcome::InVain | Outcome::Cancelled
        ) {
            return;
        }
        let attempts = health.window.at(now);
        attempts.number += 1;
        if outcome.is_failure() {
            attempts.failures += 1;
        } else if self.is_timed {
            attempts.timed += 1;
            attempts.seconds += took.as_secs_f64();
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if !self.is_finished {
            self.record(Outcome::Cancelled, Duration::ZERO);
        }
    }
}
