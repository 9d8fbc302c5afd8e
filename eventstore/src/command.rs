//! What goes with a command, and what comes back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::event::{Metadata, RecordedEvent};
use crate::sealing::DataKey;

/// What a command carries besides its streams and its decision.
#[derive(Clone, Debug)]
pub struct CommandContext {
    /// The command's name in metrics, as `create`.
    pub name: &'static str,
    /// Makes the command happen at most once.
    pub command: Option<CommandId>,
    /// The version that the first stream must have (`If-Match`); looked at once the rules have taken the command.
    pub expected_version: Option<i64>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    /// On whose behalf.
    pub user_id: Option<String>,
    pub traceparent: Option<String>,
    /// When the caller stops waiting. A command not begun by then is not begun any more.
    pub deadline: Instant,
    /// Data keys drawn for fields sealed in this command's events; stored in the same commit.
    pub data_keys: Vec<DataKey>,
    /// Subjects whose data keys are destroyed in the commit of this command's events; of none where it has no events. What
    /// was sealed for them is unreadable from then on.
    pub erased_subjects: Vec<String>,
}

impl CommandContext {
    /// A context with nothing but a name and the longest wait that is usual.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            command: None,
            expected_version: None,
            correlation_id: None,
            causation_id: None,
            user_id: None,
            traceparent: None,
            deadline: Instant::now() + DEADLINE,
            data_keys: Vec::new(),
            erased_subjects: Vec::new(),
        }
    }

    /// As a consequence of an event: its correlation, its user and its trace go on, and it is the cause.
    #[must_use]
    pub fn caused_by(self, event: &RecordedEvent) -> Self {
        self.because_of(event.as_cause())
    }

    /// As a consequence of what this tells of.
    #[must_use]
    pub fn because_of(self, cause: Metadata) -> Self {
        Self {
            correlation_id: cause.correlation_id,
            causation_id: cause.causation_id,
            user_id: cause.user_id,
            traceparent: cause.traceparent,
            ..self
        }
    }

    /// What stands beside the payload of its events.
    #[must_use]
    pub fn metadata(&self) -> Metadata {
        Metadata {
            correlation_id: self.correlation_id.clone(),
            causation_id: self.causation_id.clone(),
            user_id: self.user_id.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// How long a caller waits unless it says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// An id under which a command happens at most once, in this process and in all others.
#[derive(Clone, Debug)]
pub struct CommandId {
    /// The first 16 bytes of a digest over scope and id.
    pub id: Uuid,
    /// A keyed digest of what is asked: the same id with another fingerprint is an error of the caller.
    pub fingerprint: Vec<u8>,
    /// How long an outcome without events is kept. None, for good: for ids derived from events.
    pub expires_after: Option<Duration>,
    /// What happens while a command of this id is under way in this process: wait for its outcome, or
    /// be told at once ([`ExecuteError::InFlight`]).
    pub wait_if_in_flight: bool,
}

/// What a decision yields: events, and timers that become due with them.
pub struct Decided<Events> {
    pub(crate) events: Events,
    pub(crate) timers: Vec<TimerChange>,
}

impl<Events> Decided<Events> {
    /// Sets or clears timers in the commit of these events.
    pub fn with_timers(events: Events, timers: Vec<TimerChange>) -> Self {
        Self { events, timers }
    }
}

impl<Events> From<Events> for Decided<Events> {
    fn from(events: Events) -> Self {
        Self::with_timers(events, Vec::new())
    }
}

/// Something to happen later: a row written in the commit that decides it.
#[derive(Clone, Debug, PartialEq)]
pub struct Timer {
    /// Unique; setting a timer of the same name again moves it.
    pub name: String,
    pub due_at: DateTime<Utc>,
    pub payload: Value,
}

/// The member of a timer's payload that says of what acting on it is a consequence.
pub(crate) const CAUSE: &str = "cause";

impl Timer {
    /// A timer that whoever acts on it does so as a consequence of `cause`.
    ///
    /// # Panics
    /// Where the payload is not written as an object.
    pub fn new(
        name: String,
        due_at: DateTime<Utc>,
        payload: impl Serialize,
        cause: &Metadata,
    ) -> Self {
        let mut payload = json!(payload);
        payload[CAUSE] = json!(cause);
        Self {
            name,
            due_at,
            payload,
        }
    }
}

/// What a decision does to a timer.
#[derive(Clone, Debug, PartialEq)]
pub enum TimerChange {
    Set(Timer),
    Clear { name: String },
}

/// A command that has taken effect, or needed none. Durable before it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Id of the command's own stream; of a repeated command the one of the first time.
    pub stream_id: String,
    /// Version of that stream afterwards.
    pub version: i64,
    /// Position of the command's last event; of a no-op the head of the log once its batch was in.
    pub position: i64,
    /// How many events it appended; 0 for a no-op.
    pub events: usize,
    /// Whether this is the answer of an earlier command with the same id.
    pub replayed: bool,
}

/// Why a command has not taken effect.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ExecuteError<E> {
    /// By a rule, on states that the store has confirmed.
    #[error("refused")]
    Refused {
        error: E,
        /// Whether this is the answer of an earlier command with the same id.
        replayed: bool,
    },
    #[error("the stream is at version {actual}, not {expected}")]
    VersionMismatch {
        expected: i64,
        actual: i64,
        replayed: bool,
    },
    /// The id was used before for something else.
    #[error("the command id was used for another command")]
    KeyReused,
    #[error("a command with this id is under way")]
    InFlight,
    /// The queue is full, or the deadline passed before the command was begun. Nothing was done.
    #[error("overloaded")]
    Overloaded,
    /// The deadline passed while the command was under way: it may take effect yet. Safe to repeat with
    /// the same id.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// The store cannot hold it: an id or an event is too long, or holds what text cannot.
    #[error("{0}")]
    Invalid(String),
    /// The stream's history cannot be folded, or the rule panicked. Only this command is affected.
    #[error("{0}")]
    Corrupt(String),
    /// The store is shutting down.
    #[error("closed")]
    Closed,
}
