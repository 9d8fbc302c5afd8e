//! The log in itself, and against its readers and the clock.

use std::collections::HashMap;
use std::time::Duration;

use faults::accounts::Account;
use faults::history::Answer;

use super::{Case, Checker};
use crate::writers::evidence::{Freeze, Reading};

/// How long the server lets a frozen process keep the lock (500 ms), and what a loaded machine may add.
const STILL_MAX: Duration = Duration::from_millis(500 + 1_500);

impl Case<'_> {
    pub(super) fn positions(&mut self) {
        for (expected, entry) in (1..).zip(&self.evidence.log) {
            if entry.position != expected {
                let found = format!("{} where {expected} should be", entry.position);
                return self.violated(Checker::Positions, found);
            }
        }
    }

    pub(super) fn versions(&mut self) {
        let mut versions: HashMap<&str, i64> = HashMap::new();
        for entry in &self.evidence.log {
            let version = versions.entry(&entry.account).or_default();
            *version += 1;
            if entry.sequence != *version {
                let found = format!(
                    "{} has {} at {}, where {version} should be",
                    entry.account, entry.sequence, entry.position
                );
                *version = entry.sequence;
                self.violated(Checker::Versions, found);
            }
        }
    }

    pub(super) fn readers(&mut self) {
        for reading in &self.evidence.readings {
            if let Some(found) = self.misread(reading) {
                let found = format!("{}: {found}", reading.reader);
                self.violated(Checker::Readers, found);
            }
        }
    }

    fn misread(&self, reading: &Reading) -> Option<String> {
        if let Some(failure) = &reading.failure {
            return Some(failure.clone());
        }
        let log = self.evidence.log.iter();
        let log: Vec<_> = log.map(|entry| (entry.position, entry.event_id)).collect();
        if reading.delivered == log {
            return None;
        }
        let first = log.iter().zip(&reading.delivered);
        let same = first
            .take_while(|(entry, delivered)| entry == delivered)
            .count();
        let delivered: std::collections::HashSet<_> = reading.delivered.iter().collect();
        let skipped = log
            .iter()
            .filter(|entry| !delivered.contains(entry))
            .count();
        let repeated = reading.delivered.len() - delivered.len();
        Some(format!(
            "of {} events {skipped} were skipped and {repeated} repeated; after {same} came {:?} in place of {:?}",
            log.len(),
            reading.delivered.get(same),
            log.get(same)
        ))
    }

    pub(super) fn real_time(&mut self) {
        let mut found = Vec::new();
        for request in self.requests.values() {
            let lowest = self.bounds.lowest(request.first_invoked());
            for effect in &request.effects {
                let position = self.evidence.log[effect.start].position;
                if position <= lowest {
                    found.push(format!(
                        "{} is at {position}, and {lowest} had been told before it was asked for",
                        request.id
                    ));
                }
            }
            let own = request.asked().accounts()[0];
            for (at, answer) in request.verdicts() {
                let Answer::Done {
                    position,
                    version,
                    events: 0,
                    ..
                } = answer
                else {
                    continue;
                };
                let highest = self.bounds.highest(at);
                if !(lowest..=highest).contains(position) {
                    found.push(format!(
                        "{} looked at {position}, outside of {lowest} to {highest}",
                        request.id
                    ));
                }
                // Its batch may have gone on after it: what it saw is at its position or below.
                let mut moments = self.states.moments(&[own], lowest, *position).into_iter();
                if !moments.any(|at| self.states.at(own, at).version == *version) {
                    found.push(format!(
                        "{} looked at {own} and was told {version}, which it did not have from {lowest} to {position}",
                        request.id
                    ));
                }
            }
        }
        for found in found {
            self.violated(Checker::RealTime, found);
        }
    }

    pub(super) fn accepted(&mut self) {
        let mut found = Vec::new();
        for entry in &self.evidence.log {
            let balance = self
                .states
                .at(&entry.account, entry.position)
                .account
                .balance;
            if balance < 0 {
                found.push(format!(
                    "{} has {balance} at {}",
                    entry.account, entry.position
                ));
            }
        }
        for request in self.requests.values() {
            let accounts = request.asked().accounts();
            for effect in &request.effects {
                let position = self.evidence.log[effect.start].position;
                let before: Vec<_> = accounts
                    .iter()
                    .map(|account| self.states.at(account, position - 1))
                    .collect();
                let states: Vec<&Account> = before.iter().map(|state| &state.account).collect();
                if let Some(refusal) = request.asked().refusal(&states) {
                    found.push(format!("{} at {position}: {refusal}", request.id));
                }
                if request
                    .expected()
                    .is_some_and(|expected| expected != before[0].version)
                {
                    found.push(format!(
                        "{} at {position} expected version {:?}, not {}",
                        request.id,
                        request.expected(),
                        before[0].version
                    ));
                }
            }
        }
        for found in found {
            self.violated(Checker::Accepted, found);
        }
    }

    pub(super) fn progress(&mut self) {
        for freeze in &self.evidence.freezes {
            for writer in freeze.others.iter().copied() {
                let still = self.longest_still(writer, freeze);
                if still > STILL_MAX + freeze.stalled {
                    let found = format!("writer {writer} was told nothing for {still:?}");
                    self.violated(Checker::Progress, found);
                }
            }
        }
    }

    /// The longest time within a freeze in which a writer was told nothing.
    fn longest_still(&self, writer: u32, freeze: &Freeze) -> Duration {
        let calls = self.evidence.calls.iter();
        let mut told: Vec<u64> = calls
            .filter(|call| call.invoked.writer == writer)
            .filter_map(|call| call.answered.as_ref())
            .filter(|(_, answer)| !matches!(answer, Answer::NotDone | Answer::Unknown))
            .map(|(at, _)| *at)
            .filter(|at| (freeze.began..freeze.ended).contains(at))
            .collect();
        told.extend([freeze.began, freeze.ended]);
        told.sort_unstable();
        let longest = told.windows(2).map(|pair| pair[1] - pair[0]).max();
        Duration::from_nanos(longest.expect("two ends"))
    }
}
