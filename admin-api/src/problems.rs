//! The codes that this API adds to the shared ones.

use axum::http::StatusCode;
use http_server::{Kind, Problem};

/// `projection-ambiguous`: a data directory has to be named.
pub const PROJECTION_AMBIGUOUS: Kind = Kind::new(
    StatusCode::CONFLICT,
    "projection-ambiguous",
    "the name belongs to several projections",
);
/// `replay-in-progress`: one at a time.
pub const REPLAY_IN_PROGRESS: Kind = Kind::new(
    StatusCode::CONFLICT,
    "replay-in-progress",
    "the projection is being replayed already",
);
/// `no-previous-generation`: nothing to go back to.
pub const NO_PREVIOUS_GENERATION: Kind = Kind::new(
    StatusCode::CONFLICT,
    "no-previous-generation",
    "the projection has no previous generation",
);
/// `previous-generation-unreadable`: made by a program of another shape.
pub const PREVIOUS_GENERATION_UNREADABLE: Kind = Kind::new(
    StatusCode::CONFLICT,
    "previous-generation-unreadable",
    "this program cannot read the previous generation",
);
/// `dead-letter-waits`: another one of its stream comes first.
pub const DEAD_LETTER_WAITS: Kind = Kind::new(
    StatusCode::CONFLICT,
    "dead-letter-waits",
    "the event waits behind another dead letter",
);
/// `dead-letter-discarded`: for good.
pub const DEAD_LETTER_DISCARDED: Kind = Kind::new(
    StatusCode::CONFLICT,
    "dead-letter-discarded",
    "the dead letter was discarded",
);
/// `saga-not-parked`: nothing to go on with.
pub const SAGA_NOT_PARKED: Kind = Kind::new(
    StatusCode::CONFLICT,
    "saga-not-parked",
    "the saga is not parked",
);

/// All of them.
pub const ALL: &[Kind] = &[
    PROJECTION_AMBIGUOUS,
    REPLAY_IN_PROGRESS,
    NO_PREVIOUS_GENERATION,
    PREVIOUS_GENERATION_UNREADABLE,
    DEAD_LETTER_WAITS,
    DEAD_LETTER_DISCARDED,
    SAGA_NOT_PARKED,
];

/// A statement that failed.
pub(crate) fn database(error: sqlx::Error) -> Problem {
    match error {
        sqlx::Error::PoolTimedOut => Problem::overloaded(),
        error => Problem::internal(format!("database: {error}")),
    }
}
