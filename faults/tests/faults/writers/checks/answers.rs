//! What was told, against the log.

use faults::accounts::Account;
use faults::history::Answer;

use super::{Case, Checker};
use crate::writers::evidence::Request;

impl Case<'_> {
    pub(super) fn once(&mut self) {
        let mut found = Vec::new();
        for entry in &self.unasked {
            found.push(format!(
                "nobody asked for {:?} at {}",
                entry.event, entry.position
            ));
        }
        for request in self.requests.values() {
            if request.effects.len() > 1 {
                let times = request.effects.len();
                found.push(format!("{} happened {times} times", request.id));
            }
            for (_, answer) in request.verdicts() {
                if let Answer::Done {
                    position,
                    version,
                    events,
                    ..
                } = answer
                    && *events > 0
                {
                    let told = (*position, *version, *events);
                    let is = self.found(request);
                    if is != Some(told) {
                        found.push(format!("{} was told {told:?} and is {is:?}", request.id));
                    }
                }
            }
        }
        for found in found {
            self.violated(Checker::Once, found);
        }
    }

    /// Where the log has a request first: its last position, the version of its own account, and how many events.
    fn found(&self, request: &Request<'_>) -> Option<(i64, i64, usize)> {
        let effect = request.effects.first()?.clone();
        let entries = &self.evidence.log[effect];
        let own = request.asked().accounts()[0];
        let version = entries
            .iter()
            .rev()
            .find(|entry| entry.account == own)?
            .sequence;
        Some((entries.last()?.position, version, entries.len()))
    }

    pub(super) fn whole(&mut self) {
        let mut found = Vec::new();
        for request in self.requests.values() {
            let wanted = request.wanted();
            for effect in &request.effects {
                let entries = &self.evidence.log[effect.clone()];
                let is: Vec<_> = entries
                    .iter()
                    .map(|entry| (entry.account.as_str(), entry.event.clone()))
                    .collect();
                if is != wanted {
                    found.push(format!(
                        "{} has {} of {} events at {}",
                        request.id,
                        is.len(),
                        wanted.len(),
                        entries[0].position
                    ));
                }
            }
        }
        for found in found {
            self.violated(Checker::Whole, found);
        }
    }

    pub(super) fn refused(&mut self) {
        let mut found = Vec::new();
        for request in self
            .requests
            .values()
            .filter(|request| !request.effects.is_empty())
        {
            let is_refused = request.verdicts().any(|(_, answer)| {
                matches!(answer, Answer::Refused { .. } | Answer::Mismatch { .. })
            });
            let is_not_done = request.calls.iter().all(|call| {
                matches!(
                    call.answered,
                    Some((_, Answer::NotDone | Answer::Done { events: 0, .. }))
                )
            });
            if is_refused || is_not_done {
                let at = self.evidence.log[request.effects[0].start].position;
                found.push(format!("{} is at {at}", request.id));
            }
        }
        for found in found {
            self.violated(Checker::Refused, found);
        }
    }

    pub(super) fn refusals(&mut self) {
        let mut found = Vec::new();
        for request in self.requests.values() {
            for (at, answer) in request.verdicts() {
                let first = self.bounds.lowest(request.first_invoked());
                let last = self.bounds.highest(at);
                if !self.is_right(request, answer, first, last) {
                    found.push(format!(
                        "{} was told {answer:?}, which holds nowhere from {first} to {last}",
                        request.id
                    ));
                }
            }
        }
        for found in found {
            self.violated(Checker::Refusals, found);
        }
    }

    /// Whether a refusal is right in some state after the positions from `first` to `last`.
    fn is_right(&self, request: &Request<'_>, answer: &Answer, first: i64, last: i64) -> bool {
        let asked = request.asked();
        let accounts = asked.accounts();
        let mut moments = self.states.moments(&accounts, first, last).into_iter();
        match answer {
            Answer::Refused { refusal, .. } => moments.any(|moment| {
                let states: Vec<Account> = accounts
                    .iter()
                    .map(|account| self.states.at(account, moment).account)
                    .collect();
                asked.refusal(&states.iter().collect::<Vec<_>>()).as_ref() == Some(refusal)
            }),
            Answer::Mismatch {
                expected, actual, ..
            } => {
                request.expected() == Some(*expected)
                    && expected != actual
                    && moments.any(|at| self.states.at(accounts[0], at).version == *actual)
            }
            Answer::Done { .. } | Answer::NotDone | Answer::Unknown | Answer::Strange(_) => true,
        }
    }

    pub(super) fn answers(&mut self) {
        let mut found = Vec::new();
        for request in self.requests.values() {
            let verdicts: Vec<Answer> = request
                .verdicts()
                .map(|(_, answer)| as_if_first(answer))
                .collect();
            if verdicts.windows(2).any(|pair| pair[0] != pair[1]) {
                found.push(format!("{} was told {verdicts:?}", request.id));
            }
            for (_, answer) in request.answers() {
                if let Answer::Strange(reason) = answer {
                    found.push(format!("{}: {reason}", request.id));
                }
            }
        }
        for found in found {
            self.violated(Checker::Answers, found);
        }
    }
}

/// The answer without whether it was repeated.
fn as_if_first(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    if let Answer::Done { replayed, .. }
    | Answer::Refused { replayed, .. }
    | Answer::Mismatch { replayed, .. } = &mut answer
    {
        *replayed = false;
    }
    answer
}
