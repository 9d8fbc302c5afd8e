//! The circuit breaker of an instance: closed, open, half-open.
//!
//! | state | lets through | goes on |
//! |---|---|---|
//! | closed | all | open after so many failures in a row |
//! | open | none | half-open once its time has passed and somebody asks |
//! | half-open | one, as a probe | closed with the probe's answer, open with its failure |
//!
//! A probe is a permit with a lease: given back where it is cancelled, lost by time where its owner hangs.

use std::time::Duration;

use tokio::time::Instant;

use crate::status::CircuitState;

/// Of a process that is dead the first failures already say it; a bad moment is shorter.
const FAILURES_MAX: u32 = 5;
/// A restart takes a few seconds.
const OPEN_MIN: Duration = Duration::from_secs(1);
/// Who is away for long is asked twice a minute.
const OPEN_MAX: Duration = Duration::from_secs(30);
/// An attempt takes no longer as a rule; what waits for longer proves nothing.
const PROBE_LEASE: Duration = Duration::from_secs(5);
/// By so much, up and down, are the times of several processes spread.
const JITTER: f64 = 0.2;

/// How a circuit breaker trips and recovers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures in a row that open it; 5.
    pub failures_max: u32,
    /// How long it is open at first; 1 s, then twice as long each time.
    pub open_min: Duration,
    /// How long it is open at most; 30 s.
    pub open_max: Duration,
    /// How long a probe may take before another one is sent; 5 s.
    pub probe_lease: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings {
            failures_max: FAILURES_MAX,
            open_min: OPEN_MIN,
            open_max: OPEN_MAX,
            probe_lease: PROBE_LEASE,
        }
    }
}

/// What a circuit would say now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Closed,
    /// A probe may be sent, since then.
    ProbeDue(Instant),
    /// Not before then.
    Refused(Instant),
}

/// How somebody was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// By a closed circuit.
    Regular,
    /// As the probe with this number.
    Probe(u64),
}

/// The state machine.
#[derive(Debug)]
pub(crate) struct Circuit {
    settings: BreakerSettings,
    state: State,
    failures_in_a_row: u32,
    openings_in_a_row: u32,
    probes: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open { until: Instant },
    HalfOpen { probe: u64, lease_until: Instant },
}

impl Circuit {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Circuit {
            settings,
            state: State::Closed,
            failures_in_a_row: 0,
            openings_in_a_row: 0,
            probes: 0,
        }
    }

    pub(crate) fn state(&self) -> CircuitState {
        match self.state {
            State::Closed => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    pub(crate) fn availability(&self, now: Instant) -> Availability {
        match self.state {
            State::Closed => Availability::Closed,
            State::Open { until } if until > now => Availability::Refused(until),
            // Nobody knows when the probe ends, but rarely with its lease.
            State::HalfOpen { lease_until, .. } if lease_until > now => {
                Availability::Refused(lease_until.min(now + self.settings.open_min))
            }
            State::Open { until: since }
            | State::HalfOpen {
                lease_until: since, ..
            } => Availability::ProbeDue(since),
        }
    }

    /// Lets a call through, or not.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Permit> {
        match self.availability(now) {
            Availability::Closed => Some(Permit::Regular),
            Availability::Refused(_) => None,
            Availability::ProbeDue(_) => {
                self.probes += 1;
                self.state = State::HalfOpen {
                    probe: self.probes,
                    lease_until: now + self.settings.probe_lease,
                };
                Some(Permit::Probe(self.probes))
            }
        }
    }

    /// The instance answered as it should. True where the circuit closes.
    pub(crate) fn success(&mut self, permit: Permit) -> bool {
        match permit {
            Permit::Regular => {
                if matches!(self.state, State::Closed) {
                    self.failures_in_a_row = 0;
                }
                false
            }
            Permit::Probe(_) => self.close(permit),
        }
    }

    /// The instance answered, with what says nothing about it. A probe was sent to learn whether it answers.
    pub(crate) fn answer(&mut self, permit: Permit) -> bool {
        self.close(permit)
    }

    /// The instance failed. `random` is in 0..1.
    pub(crate) fn failure(&mut self, permit: Permit, now: Instant, random: f64) {
        match (permit, self.state) {
            (Permit::Regular, State::Closed) => {
                self.failures_in_a_row += 1;
                if self.failures_in_a_row >= self.settings.failures_max {
                    self.open(now, random);
                }
            }
            (Permit::Probe(_), _) if self.is_running(permit) => self.open(now, random),
            // Sent before the circuit opened, or by a probe that had lost its lease: known already.
            _ => {}
        }
    }

    /// Nothing was learned: a probe gives its permit back.
    pub(crate) fn neutral(&mut self, permit: Permit, now: Instant) {
        if self.is_running(permit) {
            self.state = State::Open { until: now };
        }
    }

    fn close(&mut self, permit: Permit) -> bool {
        let closes = self.is_running(permit);
        if closes {
            self.state = State::Closed;
            self.failures_in_a_row = 0;
            self.openings_in_a_row = 0;
        }
        closes
    }

    fn is_running(&self, permit: Permit) -> bool {
        match (permit, self.state) {
            (Permit::Probe(number), State::HalfOpen { probe, .. }) => number == probe,
            _ => false,
        }
    }

    fn open(&mut self, now: Instant, random: f64) {
        let factor = 2_u32.saturating_pow(self.openings_in_a_row);
        let open = self.settings.open_min.saturating_mul(factor);
        let jitter = 1.0 - JITTER + 2.0 * JITTER * random;
        let open = open.min(self.settings.open_max).mul_f64(jitter);
        self.state = State::Open { until: now + open };
        self.openings_in_a_row += 1;
        self.failures_in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// No jitter.
    const MIDDLE: f64 = 0.5;

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(BreakerSettings::default());
        for _ in 0..FAILURES_MAX {
            let permit = circuit.admit(now).unwrap();
            circuit.failure(permit, now, MIDDLE);
        }
        assert_eq!(circuit.state(), CircuitState::Open);
        circuit
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let mut circuit = Circuit::new(BreakerSettings::default());
        for _ in 0..FAILURES_MAX - 1 {
            circuit.failure(Permit::Regular, now, MIDDLE);
        }
        circuit.success(Permit::Regular);
        for _ in 0..FAILURES_MAX - 1 {
            circuit.failure(Permit::Regular, now, MIDDLE);
            circuit.neutral(Permit::Regular, now);
            circuit.answer(Permit::Regular);
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        circuit.failure(Permit::Regular, now, MIDDLE);
        assert_eq!(circuit.admit(now), None);
    }

    #[test]
    fn of_a_thousand_who_ask_one_is_the_probe() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + SECOND;
        let admitted = (0..1000).filter(|_| circuit.admit(later).is_some()).count();
        assert_eq!(admitted, 1);
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
    }

    #[test]
    fn a_probe_closes_it_with_any_answer_and_opens_it_for_longer_with_a_failure() {
        let mut now = Instant::now();
        let mut circuit = opened(now);
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(circuit.admit(now + seconds * SECOND - SECOND / 100), None);
            now += seconds * SECOND;
            let probe = circuit.admit(now).unwrap();
            circuit.failure(probe, now, MIDDLE);
        }
        now += OPEN_MAX;
        let probe = circuit.admit(now).unwrap();
        assert!(circuit.answer(probe));
        assert_eq!(circuit.admit(now), Some(Permit::Regular));
        let mut circuit = opened(now);
        let probe = circuit.admit(now + SECOND).unwrap();
        assert!(circuit.success(probe));
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[test]
    fn a_cancelled_probe_gives_its_permit_to_the_next() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + SECOND;
        let first = circuit.admit(later).unwrap();
        assert_eq!(circuit.admit(later), None);
        circuit.neutral(first, later);
        assert_ne!(circuit.admit(later), None);
    }

    #[test]
    fn a_probe_that_hangs_loses_its_lease_and_its_say() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + SECOND;
        let hung = circuit.admit(later).unwrap();
        assert_eq!(circuit.admit(later + PROBE_LEASE - SECOND / 100), None);
        let second = circuit.admit(later + PROBE_LEASE).unwrap();
        assert_ne!(second, hung);
        assert!(!circuit.success(hung));
        circuit.failure(hung, later, MIDDLE);
        circuit.neutral(hung, later);
        assert_eq!(circuit.state(), CircuitState::HalfOpen);
        assert!(circuit.success(second));
    }

    #[test]
    fn what_was_sent_before_it_opened_changes_nothing() {
        let now = Instant::now();
        let mut circuit = opened(now);
        circuit.success(Permit::Regular);
        circuit.failure(Permit::Regular, now, MIDDLE);
        assert_eq!(
            circuit.availability(now),
            Availability::Refused(now + SECOND)
        );
    }

    #[test]
    fn the_times_of_several_processes_are_spread() {
        let now = Instant::now();
        for (random, millis) in [(0.0, 800), (1.0, 1200)] {
            let mut circuit = Circuit::new(BreakerSettings::default());
            for _ in 0..FAILURES_MAX {
                circuit.failure(Permit::Regular, now, random);
            }
            let until = now + Duration::from_millis(millis);
            let Availability::Refused(told) = circuit.availability(now) else {
                panic!("not open");
            };
            let off = told.max(until) - told.min(until);
            assert!(off < Duration::from_millis(1), "{off:?}");
        }
    }
}
