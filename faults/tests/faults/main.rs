//! What holds whatever dies: writers, relays, feeds, projections and replays, frozen, killed and cut off.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod feeds;
mod projections;
mod relay;
mod replay;
mod sagas;
mod stalls;
mod writers;
