//! A command in the committer's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::Value;
use tokio::sync::oneshot;

use super::in_flight::InFlight;
use crate::command::{CommandContext, TimerChange};
use crate::stream::{Change, ErasedState, StreamReference};

/// What a decision came to.
pub(crate) enum Decision {
    Accepted {
        changes: Vec<Change>,
        timers: Vec<TimerChange>,
    },
    Refused(Value),
    VersionMismatch {
        expected: i64,
        actual: i64,
    },
    /// The events cannot be written as JSON.
    Unencodable(String),
}

/// A decision over the states of a request's streams. Pure: it may be taken again on newer states.
pub(crate) type Decide = Box<dyn Fn(&[ErasedState]) -> Decision + Send + Sync>;

/// What a caller is told.
#[derive(Debug)]
pub(crate) enum Reply {
    Done(crate::Executed),
    Refused {
        error: Value,
        replayed: bool,
    },
    VersionMismatch {
        expected: i64,
        actual: i64,
        replayed: bool,
    },
    KeyReused,
    Invalid(String),
    Corrupt(String),
}

/// A command that waits to be decided.
pub(crate) struct Request {
    pub(crate) streams: Vec<StreamReference>,
    pub(crate) decide: Decide,
    pub(crate) context: CommandContext,
    pub(crate) reply: oneshot::Sender<Reply>,
    pub(crate) claim: Claim,
    /// Held until the command is settled, also when its caller has gone.
    pub(crate) in_flight: Option<InFlight>,
    /// How often its group was left out because a stream had moved.
    pub(crate) conflicts: u32,
}

impl Request {
    /// Tells the caller. One that no longer waits loses nothing: what is told is durable already.
    pub(super) fn reply(self, reply: Reply) {
        drop(self.in_flight);
        let _ = self.reply.send(reply);
    }
}

/// Whether a queued command is begun or given up: decided once, by whoever comes first.
#[derive(Clone, Default)]
pub(crate) struct Claim(Arc<AtomicU8>);

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Claim {
    /// The committer takes the command; false if its caller gave up before.
    pub(super) fn begin(&self) -> bool {
        self.settle(BEGUN)
    }

    /// The caller gives up; false if the committer has begun.
    pub(crate) fn give_up(&self) -> bool {
        self.settle(GIVEN_UP)
    }

    fn settle(&self, to: u8) -> bool {
        match self
            .0
            .compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => true,
            Err(current) => current == to,
        }
    }
}
