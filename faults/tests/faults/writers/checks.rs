//! What must hold of every run, computed from what its writers were told, from the log, and from what its readers got.

mod answers;
mod bad;
mod order;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use uuid::Uuid;

use super::evidence::{Bounds, Entry, Evidence, Request, States, requests};

/// What a violation violates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Checker {
    /// Positions run from 1 without a hole.
    Positions,
    /// So do the versions of each account.
    Versions,
    /// Every reader got every event once and in order.
    Readers,
    /// What was acknowledged is in the log once, where it was told; whatever was asked for is there at most once.
    Once,
    /// A request is in the log with all its events, side by side, or not at all.
    Whole,
    /// What was refused or not done is not in the log.
    Refused,
    /// What was asked for after something was told comes after it.
    RealTime,
    /// Every accepted request was possible in the state right before it.
    Accepted,
    /// Every refusal was right in some state between its call and its answer.
    Refusals,
    /// Nobody waited for a frozen process.
    Progress,
    /// All answers to one request agree, and none is a surprise.
    Answers,
}

/// A checker and what it found.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) checker: Checker,
    pub(super) found: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.checker, self.found)
    }
}

/// What the checkers share.
struct Case<'a> {
    evidence: &'a Evidence,
    requests: HashMap<Uuid, Request<'a>>,
    unasked: Vec<&'a Entry>,
    states: States<'a>,
    bounds: Bounds,
    violations: Vec<Violation>,
}

impl Case<'_> {
    fn violated(&mut self, checker: Checker, found: impl Into<String>) {
        let found = found.into();
        self.violations.push(Violation { checker, found });
    }
}

/// Everything that does not hold.
pub(super) fn check(evidence: &Evidence) -> Vec<Violation> {
    let (requests, unasked) = requests(evidence);
    let bounds = Bounds::of(evidence, &requests);
    let mut case = Case {
        evidence,
        requests,
        unasked,
        states: States::of(&evidence.log),
        bounds,
        violations: Vec::new(),
    };
    case.positions();
    case.versions();
    case.readers();
    case.once();
    case.whole();
    case.refused();
    case.real_time();
    case.accepted();
    case.refusals();
    case.progress();
    case.answers();
    case.violations
}

/// How many violations each checker found.
pub(super) fn counted(violations: &[Violation]) -> BTreeMap<Checker, usize> {
    let mut counts = BTreeMap::new();
    for violation in violations {
        *counts.entry(violation.checker).or_default() += 1;
    }
    counts
}

/// A few of each checker's violations, to be read.
pub(super) fn shown(violations: &[Violation]) -> String {
    const OF_EACH: usize = 4;
    let mut lines = String::new();
    for (checker, count) in counted(violations) {
        let found = violations.iter().filter(|found| found.checker == checker);
        for violation in found.take(OF_EACH) {
            lines += &format!("  {violation}\n");
        }
        if count > OF_EACH {
            lines += &format!("  {checker:?}: {count} in all\n");
        }
    }
    lines
}
