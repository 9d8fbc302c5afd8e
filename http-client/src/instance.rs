//! One instance of an upstream: what is known of it, and who is calling it.

mod admitted;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::address::ServiceUrl;
use crate::balance::Candidate;
use crate::circuit::{Availability, BreakerSettings, Circuit, Permit};
use crate::connection::Connections;
use crate::ejection::{Attempts, Ejection, Seen};
use crate::latency::PeakEwma;
use crate::measure;
use crate::status::{CircuitState, InstanceStatus};
use crate::window::Window;

pub(crate) use admitted::{Admitted, InFlight, Outcome};

/// One that failed, but not often enough for its circuit to open, costs too much to be chosen; in this time one call is sent to
/// it all the same.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An instance.
pub(crate) struct Instance {
    upstream: Arc<str>,
    /// Host and port: a label.
    name: Arc<str>,
    url: ServiceUrl,
    connections: RwLock<Connections>,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    failures: AtomicU64,
    health: Mutex<Health>,
}

struct Health {
    /// None: it is never held back.
    circuit: Option<Circuit>,
    latency: PeakEwma,
    charge: Option<Charge>,
    window: Window<Attempts>,
    ejection: Ejection,
}

/// A failure that the latency was charged with, until an attempt that began later succeeds.
#[derive(Clone, Copy)]
struct Charge {
    failed: Instant,
    /// When it was asked last since then because of it.
    asked: Instant,
}

impl Instance {
    pub(crate) fn new(
        upstream: Arc<str>,
        url: ServiceUrl,
        connections: Connections,
        breaker: Option<BreakerSettings>,
        now: Instant,
    ) -> Self {
        Instance {
            upstream,
            name: url.authority().as_str().into(),
            url,
            connections: RwLock::new(connections),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            health: Mutex::new(Health {
                circuit: breaker.map(Circuit::new),
                latency: PeakEwma::new(now),
                charge: None,
                window: Window::new(now),
                ejection: Ejection::default(),
            }),
        }
    }

    pub(crate) fn url(&self) -> &ServiceUrl {
        &self.url
    }

    pub(crate) fn connections(&self) -> Connections {
        self.connections.read().clone()
    }

    /// Another pool from now on; what is under way ends on the one before.
    pub(crate) fn set_connections(&self, connections: Connections) {
        *self.connections.write() = connections;
    }

    /// The instance, as the balancer sees it.
    pub(crate) fn candidate(&self, now: Instant, is_tried: bool) -> Candidate {
        let in_flight = self.in_flight.load(Ordering::Relaxed) + 1;
        let health = self.health.lock();
        Candidate {
            cost: health.latency.seconds(now) * in_flight as f64,
            circuit: health.availability(now),
            is_due: health.is_due(now),
            is_ejected: health.ejection.until(now).is_some(),
            is_tried,
        }
    }

    /// The instance, as a sweep for outliers sees it.
    pub(crate) fn seen(&self, now: Instant) -> Seen {
        let health = self.health.lock();
        Seen {
            attempts: Attempts::in_window(&health.window, now),
            is_ejected: health.ejection.until(now).is_some(),
        }
    }

    pub(crate) fn eject(&self, now: Instant) {
        let mut health = self.health.lock();
        health.ejection.eject(now);
        // What led to it is not to lead to the next one.
        health.window = Window::new(now);
    }

    /// Lets a call through, unless somebody else was faster. `is_timed` says that its time tells how fast the instance is.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant, is_timed: bool) -> Option<Admitted> {
        let permit = {
            let mut health = self.health.lock();
            let is_due = health.is_due(now);
            if let Some(charge) = &mut health.charge
                && is_due
            {
                charge.asked = now;
            }
            match &mut health.circuit {
                Some(circuit) => circuit.admit(now)?,
                None => Permit::Regular,
            }
        };
        if matches!(permit, Permit::Probe(_)) {
            self.measure_circuit(CircuitState::HalfOpen);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        Some(Admitted::new(InFlight::new(self), permit, now, is_timed))
    }

    /// The answer's head came and its body did not: known too late for the circuit, counted for the failure rate.
    pub(crate) fn broke_off(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        self.health.lock().window.at(now).failures += 1;
    }

    pub(crate) fn status(&self, now: Instant) -> InstanceStatus {
        let health = self.health.lock();
        let ejected_until = health.ejection.until(now).and_then(|until| {
            let left = TimeDelta::from_std(until.saturating_duration_since(now)).ok()?;
            Some(Utc::now() + left)
        });
        InstanceStatus {
            instance: self.url.to_string(),
            state: health.state(),
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency_ms: health.latency.seconds(now) * 1000.0,
            ejected_until,
        }
    }

    /// Tells the metric of the circuit; also once at the beginning, so that it is there.
    pub(crate) fn measure_circuit(&self, state: CircuitState) {
        measure::circuit(&self.upstream, &self.name, state);
    }
}

impl Health {
    fn availability(&self, now: Instant) -> Availability {
        match &self.circuit {
            Some(circuit) => circuit.availability(now),
            None => Availability::Closed,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.charge
            .is_some_and(|charge| now.saturating_duration_since(charge.asked) >= ASKED_AGAIN_AFTER)
    }

    fn state(&self) -> CircuitState {
        let circuit = self.circuit.as_ref();
        circuit.map_or(CircuitState::Closed, Circuit::state)
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instance").field(&self.url).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::connection::Connector;
    use crate::tls;

    const MS: Duration = Duration::from_millis(1);
    const ATTEMPT: Duration = Duration::from_secs(5);

    /// An instance that nobody calls over a network.
    pub(crate) fn instance() -> Arc<Instance> {
        let tls = tls::trusting_nobody().unwrap();
        let connections = Connector::new(tls, ATTEMPT).pool(1, ATTEMPT);
        let url = "http://127.0.0.1:9".parse().unwrap();
        let breaker = Some(BreakerSettings::default());
        let instance = Instance::new("test".into(), url, connections, breaker, Instant::now());
        Arc::new(instance)
    }

    async fn attempt(instance: &Arc<Instance>, took: Duration, outcome: Outcome) {
        let admitted = instance.admit(Instant::now(), true).unwrap();
        tokio::time::advance(took).await;
        admitted.finish(outcome, ATTEMPT);
    }

    fn cost(instance: &Instance) -> f64 {
        instance.candidate(Instant::now(), false).cost
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_failure_costs_as_much_as_an_attempt_until_a_later_one_succeeds() {
        let instance = instance();
        let before = instance.admit(Instant::now(), true).unwrap();
        attempt(&instance, MS, Outcome::NotConnected).await;
        assert!(cost(&instance) >= ATTEMPT.as_secs_f64());
        // Sent before it failed.
        before.finish(Outcome::Success, ATTEMPT);
        assert!(cost(&instance) >= ATTEMPT.as_secs_f64() * 0.99);
        tokio::time::advance(MS).await;
        attempt(&instance, 20 * MS, Outcome::Success).await;
        assert!(cost(&instance) < 0.03);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_failed_is_due_once_a_second() {
        let instance = instance();
        attempt(&instance, MS, Outcome::Reset).await;
        let is_due = || instance.candidate(Instant::now(), false).is_due;
        assert!(!is_due());
        tokio::time::advance(ASKED_AGAIN_AFTER).await;
        assert!(is_due());
        let asking = instance.admit(Instant::now(), true).unwrap();
        assert!(!is_due());
        tokio::time::advance(MS).await;
        asking.finish(Outcome::Success, ATTEMPT);
        tokio::time::advance(ASKED_AGAIN_AFTER).await;
        assert!(!is_due());
    }

    #[tokio::test(start_paused = true)]
    async fn what_says_nothing_about_an_instance_is_no_failure_of_it() {
        let instance = instance();
        for outcome in [
            Outcome::Success,
            Outcome::Answer,
            Outcome::Refusal,
            Outcome::InVain,
            Outcome::Stale,
        ] {
            for _ in 0..10 {
                attempt(&instance, MS, outcome).await;
            }
        }
        for _ in 0..10 {
            drop(instance.admit(Instant::now(), true));
        }
        let status = instance.status(Instant::now());
        assert_eq!((status.requests, status.failures), (60, 0));
        assert_eq!((status.state, status.in_flight), (CircuitState::Closed, 0));
        for outcome in [
            Outcome::FailedBehind,
            Outcome::NotConnected,
            Outcome::Reset,
            Outcome::TimedOut,
            Outcome::Reset,
        ] {
            attempt(&instance, MS, outcome).await;
        }
        let status = instance.status(Instant::now());
        assert_eq!((status.state, status.failures), (CircuitState::Open, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_quickly_is_not_the_fastest() {
        let (refusing, answering) = (instance(), instance());
        attempt(&refusing, MS, Outcome::Refusal).await;
        attempt(&answering, 50 * MS, Outcome::Success).await;
        assert!(cost(&refusing) > cost(&answering));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_in_flight_until_its_answer_has_ended() {
        let instance = instance();
        let admitted = instance.admit(Instant::now(), true).unwrap();
        let in_flight = || instance.status(Instant::now()).in_flight;
        assert_eq!(in_flight(), 1);
        let answer = admitted.finish(Outcome::Success, ATTEMPT);
        assert_eq!(in_flight(), 1);
        drop(answer);
        assert_eq!(in_flight(), 0);
    }
}
