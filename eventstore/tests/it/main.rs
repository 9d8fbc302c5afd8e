//! Against a real PostgreSQL and a real Kafka: `scripts/with-engines --kafka cargo test -p eventstore`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod append;
mod dead_letters;
#[macro_use]
mod feeds;
mod leases;
mod plans;
mod publishing;
mod reactors;
mod relay;
mod runner;
mod snapshots;
mod states;
mod support;
mod timers;
mod upcasting;
