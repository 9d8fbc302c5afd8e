//! Deciding a batch of commands, each on the states left by those before it, and encoding what comes out.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::arguments::{Commands, DataKeys, Events, Timers};
use super::request::{Decision, Reply, Request};
use crate::command::TimerChange;
use crate::state::{Folded, Versioned, panic_message};
use crate::stream::{Change, ErasedState, StreamKey};

/// The longest payload of an event. Larger things belong into a store of files.
pub(crate) const EVENT_BYTES_MAX: usize = 512 * 1024;

/// What a batch may hold in payloads; the commands beyond it are decided in the next one.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a command without events was told, as stored to be told again.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub(super) enum Answer {
    NoOp { stream_id: String, version: i64 },
    Refused { error: Value },
    VersionMismatch { expected: i64, actual: i64 },
}

/// A decided command, not told yet.
pub(super) struct Draft {
    pub(super) request: Request,
    /// Any of its streams; all of them are in one group.
    slot: usize,
    /// None where it has events.
    pub(super) answer: Option<Answer>,
    /// The first of its events in the batch, and how many.
    pub(super) first_event: usize,
    pub(super) events: usize,
    /// Version of its own stream afterwards.
    pub(super) version: i64,
}

/// A stream that a decision of the batch read.
pub(super) struct Slot {
    pub(super) key: StreamKey,
    /// Version before the batch.
    pub(super) before: i64,
    pub(super) now: Versioned,
    /// Parent in the union-find over streams that share a command.
    parent: usize,
    pub(super) to_snapshot: fn(&crate::stream::State) -> serde_json::Result<String>,
}

/// A batch: commands, the streams they read, and the arguments of one call of `append`.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) drafts: Vec<Draft>,
    pub(super) slots: Vec<Slot>,
    by_key: HashMap<StreamKey, usize>,
    pub(super) events: Events,
    pub(super) commands: Commands,
    pub(super) timers: Timers,
    pub(super) data_keys: DataKeys,
    /// Group of each slot, numbered once everything is decided.
    pub(super) groups: Vec<i32>,
    bytes: usize,
}

impl Batch {
    /// Decides the requests in order. Those that cannot be decided are answered at once; those beyond the
    /// batch's size are handed back.
    pub(super) fn decide(
        requests: Vec<Request>,
        states: &HashMap<StreamKey, Folded>,
    ) -> (Self, Vec<Request>) {
        let mut batch = Self::default();
        let mut rest = Vec::new();
        for request in requests {
            if batch.bytes > BATCH_BYTES_MAX {
                rest.push(request);
            } else {
                batch.decide_one(request, states);
            }
        }
        batch.number_groups();
        (batch, rest)
    }

    fn decide_one(&mut self, request: Request, states: &HashMap<StreamKey, Folded>) {
        let Some(slots) = self.slots_of(&request, states) else {
            let reason = request
                .streams
                .iter()
                .find_map(|stream| states[&stream.key].as_ref().err());
            let reason = reason.cloned().unwrap_or_default();
            return request.reply(Reply::Corrupt(reason));
        };
        let current: Vec<ErasedState> = slots
            .iter()
            .map(|slot| ErasedState(self.slots[*slot].now.state.clone()))
            .collect();
        let own = &self.slots[slots[0]];
        let decision = catch_unwind(AssertUnwindSafe(|| (request.decide)(&current)));
        // Only then: a version is told to nobody who may not know that there is such a stream.
        let actual = own.now.version;
        let decision = match (decision, request.context.expected_version) {
            (Ok(Decision::Accepted { .. }), Some(expected)) if expected != actual => {
                Ok(Decision::VersionMismatch { expected, actual })
            }
            (decision, _) => decision,
        };
        match decision {
            Ok(Decision::Accepted { changes, timers }) => {
                match check_payloads(&slots, &changes) {
                    Ok(bytes) => self.bytes += bytes,
                    Err(reason) => return request.reply(Reply::Invalid(reason)),
                }
                self.accept(request, &slots, changes, timers);
            }
            Ok(Decision::Refused(error)) => {
                self.conclude(request, &slots, Answer::Refused { error });
            }
            Ok(Decision::VersionMismatch { expected, actual }) => {
                self.conclude(
                    request,
                    &slots,
                    Answer::VersionMismatch { expected, actual },
                );
            }
            Ok(Decision::Unencodable(reason)) => request.reply(Reply::Invalid(reason)),
            Err(panic) => {
                let stream = &request.streams[0].key;
                let reason = format!(
                    "the decision on {stream} panicked: {}",
                    panic_message(&*panic)
                );
                request.reply(Reply::Corrupt(reason));
            }
        }
    }

    /// The slots of a request's streams, made where the batch has none yet. None if a stream is corrupt.
    fn slots_of(
        &mut self,
        request: &Request,
        states: &HashMap<StreamKey, Folded>,
    ) -> Option<Vec<usize>> {
        if request
            .streams
            .iter()
            .any(|stream| states[&stream.key].is_err())
        {
            return None;
        }
        let slots = request.streams.iter().map(|stream| {
            *self.by_key.entry(stream.key.clone()).or_insert_with(|| {
                let loaded = states[&stream.key].clone().expect("checked above");
                self.slots.push(Slot {
                    key: stream.key.clone(),
                    before: loaded.version,
                    now: loaded,
                    parent: self.slots.len(),
                    to_snapshot: stream.fold.to_snapshot,
                });
                self.slots.len() - 1
            })
        });
        Some(slots.collect())
    }

    fn accept(
        &mut self,
        request: Request,
        slots: &[usize],
        changes: Vec<Change>,
        timers: Vec<TimerChange>,
    ) {
        let events: usize = changes.iter().map(|change| change.events.len()).sum();
        let draft = self.drafts.len();
        for change in timers {
            self.timers.push(draft, change);
        }
        if events == 0 {
            let own = &self.slots[slots[0]];
            let answer = Answer::NoOp {
                stream_id: own.key.aggregate_id.to_string(),
                version: own.now.version,
            };
            return self.conclude(request, slots, answer);
        }
        let first_event = self.events.id.len();
        let metadata = metadata_of(&request);
        for (slot, change) in slots.iter().zip(changes) {
            let slot = &mut self.slots[*slot];
            for event in change.events {
                slot.now.version += 1;
                self.events
                    .push(draft, &slot.key, slot.now.version, event, &metadata);
            }
            slot.now.state = change.state;
        }
        if let Some(command) = &request.context.command {
            self.events.carry(first_event, events, command);
        }
        for key in &request.context.data_keys {
            self.data_keys.store(draft, key);
        }
        for subject in &request.context.erased_subjects {
            self.data_keys.destroy(draft, subject);
        }
        self.push(request, slots, None, first_event, events);
    }

    /// A command that ends without events: its streams are confirmed all the same.
    fn conclude(&mut self, request: Request, slots: &[usize], answer: Answer) {
        self.push(request, slots, Some(answer), self.events.id.len(), 0);
    }

    fn push(
        &mut self,
        request: Request,
        slots: &[usize],
        answer: Option<Answer>,
        first_event: usize,
        events: usize,
    ) {
        for slot in &slots[1..] {
            self.join(slots[0], *slot);
        }
        if let Some(command) = &request.context.command {
            let answer = answer
                .as_ref()
                .map(|answer| serde_json::to_string(answer).expect("an answer is plain data"));
            self.commands.push(self.drafts.len(), command, answer);
        }
        self.drafts.push(Draft {
            slot: slots[0],
            answer,
            first_event,
            events,
            version: self.slots[slots[0]].now.version,
            request,
        });
    }

    fn root(&self, mut slot: usize) -> usize {
        while self.slots[slot].parent != slot {
            slot = self.slots[slot].parent;
        }
        slot
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        // The smaller index becomes the root: chains stay short, as a batch names its streams in order.
        self.slots[one.max(other)].parent = one.min(other);
    }

    fn number_groups(&mut self) {
        self.groups = (0..self.slots.len())
            .map(|slot| i32::try_from(self.root(slot)).expect("a batch is far smaller"))
            .collect();
    }

    /// The group of a command: a set of commands that share streams, directly or through each other.
    pub(super) fn group(&self, draft: &Draft) -> i32 {
        self.groups[draft.slot]
    }

    /// The command id at this index, and the group of the draft that carries it.
    pub(super) fn command(&self, index: usize) -> (Uuid, i32) {
        let draft = &self.drafts[self.commands.draft[index]];
        (self.commands.id[index], self.group(draft))
    }

    /// The group of the event at this index of the batch.
    pub(super) fn group_of_event(&self, event: usize) -> i32 {
        self.group(&self.drafts[self.events.draft[event]])
    }
}

fn metadata_of(request: &Request) -> Arc<str> {
    serde_json::to_string(&request.context.metadata())
        .expect("strings only")
        .into()
}

/// The size of all payloads, or why one of them cannot be stored.
fn check_payloads(slots: &[usize], changes: &[Change]) -> Result<usize, String> {
    assert_eq!(slots.len(), changes.len(), "a change for each stream");
    let mut bytes = 0;
    for event in changes.iter().flat_map(|change| &change.events) {
        if event.payload.len() > EVENT_BYTES_MAX {
            return Err(format!(
                "{} has {} bytes, more than {EVENT_BYTES_MAX}",
                event.event_type,
                event.payload.len()
            ));
        }
        if holds_nul(&event.payload) {
            return Err(format!("{} holds the character U+0000", event.event_type));
        }
        bytes += event.payload.len();
    }
    let own_first =
        changes.iter().all(|change| change.events.is_empty()) || !changes[0].events.is_empty();
    if !own_first {
        return Err("the first event is not one of the command's own stream".to_owned());
    }
    Ok(bytes)
}

/// Whether JSON text holds an escaped U+0000, which Postgres cannot hold as text. A backslash that is
/// itself escaped does not begin an escape.
fn holds_nul(json: &str) -> bool {
    json.match_indices("\\u0000").any(|(at, _)| {
        let backslashes = json.as_bytes()[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        backslashes % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::holds_nul;

    #[test]
    fn an_escaped_nul_is_found_and_an_escaped_backslash_is_not_one() {
        assert!(holds_nul(r#"{"a":"\u0000"}"#));
        assert!(holds_nul(r#"{"a":"\\\u0000"}"#));
        assert!(!holds_nul(r#"{"a":"\\u0000"}"#));
        assert!(!holds_nul(r#"{"a":"u0000"}"#));
    }
}
