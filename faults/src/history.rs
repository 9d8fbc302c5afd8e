//! What writers tell about each call, as it happens: the evidence that the log is held against.

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::accounts::{Asked, Refusal};

/// Nanoseconds of the clock that all processes of a machine share and nobody sets.
///
/// # Panics
/// Where there is no monotonic clock.
pub fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock is there");
    let seconds = u64::try_from(now.tv_sec()).expect("counted from the start of the machine");
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec()).expect("below a second")
}

/// A line of a writer. A call without an answer is one whose process was killed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Line {
    /// The store is open, calls follow.
    Ready,
    /// Told before the call is made.
    Invoked(Invoked),
    /// Told after it has returned.
    Answered {
        /// As in [`Invoked::call`].
        call: u64,
        /// [`now`], read at once after the call returned.
        at: u64,
        /// What it returned.
        answer: Answer,
    },
}

/// A call as it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invoked {
    /// Unique in its process.
    pub call: u64,
    /// Which of the writers, through all processes and their replacements.
    pub writer: u32,
    /// The request in the events; several calls of one request carry it as their command id.
    pub request: Uuid,
    /// Whether it is the command id, too.
    pub is_command_id: bool,
    /// What is asked for.
    pub asked: Asked,
    /// The version that the own account must have.
    pub expected: Option<i64>,
    /// [`now`], read right before the call.
    pub at: u64,
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// It has taken effect, or needed none.
    Done {
        /// Of its last event, or the head of the log when it was checked.
        position: i64,
        /// Of its own account afterwards.
        version: i64,
        /// How many it appended.
        events: usize,
        /// Whether an earlier call of the request is answered for.
        replayed: bool,
    },
    /// By a rule.
    Refused {
        /// The rule.
        refusal: Refusal,
        /// Whether an earlier call of the request is answered for.
        replayed: bool,
    },
    /// The own account is at another version.
    Mismatch {
        /// Asked for.
        expected: i64,
        /// Found.
        actual: i64,
        /// Whether an earlier call of the request is answered for.
        replayed: bool,
    },
    /// Nothing was done for this call: overloaded, or another call of the request is under way.
    NotDone,
    /// It may have taken effect, and may yet.
    Unknown,
    /// Something that no writer of these tests should ever be told.
    Strange(String),
}

/// A call and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The process that made it, by number of its start.
    pub process: u32,
    /// The call.
    pub invoked: Invoked,
    /// When it returned, and what; none for a call whose process was killed.
    pub answered: Option<(u64, Answer)>,
}
