//! Which instance is asked: power of two choices over the costs of those that may be.

use std::time::Duration;

use rand::{Rng, RngExt};
use tokio::time::Instant;

use crate::circuit::Availability;

/// A call that cannot be repeated is no probe, unless nobody else came for so long.
const PROBE_OVERDUE: Duration = Duration::from_secs(1);

/// An instance that could be asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    /// Latency times calls in flight.
    pub(crate) cost: f64,
    pub(crate) circuit: Availability,
    /// Whether it failed, and nobody has asked since.
    pub(crate) is_due: bool,
    pub(crate) is_ejected: bool,
    /// In this call.
    pub(crate) is_tried: bool,
}

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// This one.
    Instance(usize),
    /// Nobody: all circuits are open, the first one until then.
    AllOpen(Instant),
    /// Nobody: there is none.
    NoInstance,
}

/// Chooses among the instances. `can_fail` says that the call has another attempt if this one fails: such calls are the probes
/// of those that are coming back.
pub(crate) fn choose(
    candidates: &[Candidate],
    now: Instant,
    can_fail: bool,
    random: &mut impl Rng,
) -> Choice {
    let probe = |is_wanted: &dyn Fn(&Candidate, Instant) -> bool| {
        candidates.iter().position(|candidate| {
            matches!(candidate.circuit, Availability::ProbeDue(since) if is_wanted(candidate, since))
        })
    };
    // Its cost says nothing any more; a due probe comes first, or it would come never.
    let due = probe(&|candidate, since| {
        !candidate.is_tried && (can_fail || now.saturating_duration_since(since) > PROBE_OVERDUE)
    });
    if let Some(index) = due {
        return Choice::Instance(index);
    }
    let is_due = |candidate: &Candidate| {
        candidate.is_due
            && candidate.circuit == Availability::Closed
            && !candidate.is_tried
            && !candidate.is_ejected
    };
    if let Some(index) = candidates.iter().position(is_due)
        && can_fail
    {
        return Choice::Instance(index);
    }
    let ignores_ejection = is_panic(candidates);
    let is_in = |candidate: &Candidate| ignores_ejection || !candidate.is_ejected;
    let closed = |is_wanted: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        (0..candidates.len())
            .filter(|&index| candidates[index].circuit == Availability::Closed)
            .filter(|&index| is_wanted(&candidates[index]))
            .collect()
    };
    let preferences: [&dyn Fn(&Candidate) -> bool; 3] = [
        &|candidate| is_in(candidate) && !candidate.is_tried,
        &|candidate| is_in(candidate),
        &|_| true,
    ];
    for is_wanted in preferences {
        if let Some(index) = cheaper_of_two(candidates, &closed(is_wanted), random) {
            return Choice::Instance(index);
        }
    }
    if let Some(index) = probe(&|_, _| true) {
        return Choice::Instance(index);
    }
    let untils = candidates.iter().filter_map(|candidate| {
        let Availability::Refused(until) = candidate.circuit else {
            return None;
        };
        Some(until)
    });
    untils.min().map_or(Choice::NoInstance, Choice::AllOpen)
}

/// Whether more than half of the instances cannot be used: then leaving out those that merely are slow makes it worse.
fn is_panic(candidates: &[Candidate]) -> bool {
    let usable = candidates
        .iter()
        .filter(|candidate| !candidate.is_ejected && candidate.circuit == Availability::Closed)
        .count();
    usable * 2 < candidates.len()
}

fn cheaper_of_two(
    candidates: &[Candidate],
    among: &[usize],
    random: &mut impl Rng,
) -> Option<usize> {
    match among {
        [] => None,
        [only] => Some(*only),
        _ => {
            let first = random.random_range(0..among.len());
            // Distinct: one of the others, each as likely.
            let second = (first + random.random_range(1..among.len())) % among.len();
            let (first, second) = (among[first], among[second]);
            Some(if candidates[second].cost < candidates[first].cost {
                second
            } else {
                first
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const CLOSED: Candidate = Candidate {
        cost: 1.0,
        circuit: Availability::Closed,
        is_due: false,
        is_ejected: false,
        is_tried: false,
    };
    const EJECTED: Candidate = Candidate {
        is_ejected: true,
        ..CLOSED
    };
    const TRIED: Candidate = Candidate {
        is_tried: true,
        ..CLOSED
    };

    fn open(until: Instant) -> Candidate {
        Candidate {
            circuit: Availability::Refused(until),
            ..CLOSED
        }
    }

    fn due(since: Instant) -> Candidate {
        Candidate {
            circuit: Availability::ProbeDue(since),
            ..CLOSED
        }
    }

    /// How often each is chosen, of a thousand times.
    fn shares(candidates: &[Candidate], now: Instant) -> Vec<usize> {
        let mut random = StdRng::seed_from_u64(7);
        let mut shares = vec![0; candidates.len()];
        for _ in 0..1000 {
            match choose(candidates, now, true, &mut random) {
                Choice::Instance(index) => shares[index] += 1,
                other => panic!("{other:?}"),
            }
        }
        shares
    }

    #[test]
    fn the_dearest_is_never_chosen_and_equal_ones_are_chosen_alike() {
        let dear = Candidate {
            cost: 2.0,
            ..CLOSED
        };
        let now = Instant::now();
        let shares = shares(&[CLOSED, dear, CLOSED], now);
        assert_eq!(shares[1], 0);
        assert!((400..600).contains(&shares[0]), "{shares:?}");
    }

    #[test]
    fn another_instance_is_asked_than_those_that_failed_while_there_is_one() {
        let now = Instant::now();
        assert_eq!(shares(&[TRIED, CLOSED, TRIED], now), [0, 1000, 0]);
        assert_eq!(shares(&[TRIED], now), [1000]);
        assert_eq!(shares(&[TRIED, open(now)], now), [1000, 0]);
    }

    #[test]
    fn the_ejected_are_left_out_unless_more_than_half_cannot_be_used() {
        let now = Instant::now();
        let until = now + PROBE_OVERDUE;
        assert_eq!(shares(&[EJECTED, CLOSED], now), [0, 1000]);
        assert_eq!(shares(&[EJECTED, CLOSED, open(until), CLOSED], now)[0], 0);
        let panic = shares(&[EJECTED, CLOSED, open(until)], now);
        assert!(panic[0] > 300 && panic[1] > 300, "{panic:?}");
        // Never an open circuit.
        assert_eq!(panic[2], 0);
        assert_eq!(shares(&[EJECTED, open(until)], now), [1000, 0]);
        // Rather one that failed just now than one that is out.
        assert_eq!(shares(&[EJECTED, TRIED], now), [0, 1000]);
    }

    #[test]
    fn a_due_probe_comes_first_but_not_with_what_cannot_be_repeated() {
        let now = Instant::now();
        let candidates = [CLOSED, due(now)];
        let mut random = StdRng::seed_from_u64(7);
        let mut chosen = |candidates: &[Candidate], now, can_fail| {
            choose(candidates, now, can_fail, &mut random)
        };
        assert_eq!(chosen(&candidates, now, true), Choice::Instance(1));
        assert_eq!(chosen(&candidates, now, false), Choice::Instance(0));
        let overdue = now + PROBE_OVERDUE * 2;
        assert_eq!(chosen(&candidates, overdue, false), Choice::Instance(1));
        // Nobody else is there.
        assert_eq!(chosen(&[due(now)], now, false), Choice::Instance(0));
    }

    #[test]
    fn one_that_failed_is_asked_again_when_it_is_time_whatever_it_costs() {
        let now = Instant::now();
        let failed = Candidate {
            cost: 10_000.0,
            is_due: true,
            ..CLOSED
        };
        let mut random = StdRng::seed_from_u64(7);
        let candidates = [CLOSED, failed];
        let chosen = choose(&candidates, now, true, &mut random);
        assert_eq!(chosen, Choice::Instance(1));
        let chosen = choose(&candidates, now, false, &mut random);
        assert_eq!(chosen, Choice::Instance(0));
        let tried = Candidate {
            is_tried: true,
            ..failed
        };
        let chosen = choose(&[CLOSED, tried], now, true, &mut random);
        assert_eq!(chosen, Choice::Instance(0));
    }

    #[test]
    fn where_all_are_open_it_says_until_when() {
        let now = Instant::now();
        let mut random = StdRng::seed_from_u64(7);
        let (sooner, later) = (now + PROBE_OVERDUE, now + 2 * PROBE_OVERDUE);
        let choice = choose(&[open(later), open(sooner)], now, true, &mut random);
        assert_eq!(choice, Choice::AllOpen(sooner));
        assert_eq!(choose(&[], now, true, &mut random), Choice::NoInstance);
    }
}
