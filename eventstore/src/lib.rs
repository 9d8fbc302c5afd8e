//! The event log: append, read, follow.
//!
//! - [`EventStore`] appends what commands decide, in group commits, and loads streams.
//! - [`RecordedEvent`] is an event as the log holds it.
//! - [`Feed`] follows the log in position order, from the store or over Kafka.
//! - [`Runner`] hands what a feed yields to a [`Handler`]: batches, retry, parking.
//! - [`Reactions`] hand events to a [`Reactor`], which answers with commands of its own; [`Timers`] hand it what is due.
//! - [`Relay`] publishes the log to Kafka.
//! - [`Lease`] says who may do what only one may do.
//! - [`Sealer`] seals personal fields and opens them again.
//!
//! Knows no business word: aggregates arrive as `cqrs_es::Aggregate`, decisions as closures.

mod checkpoint;
mod command;
mod committer;
pub mod dead_letters;
mod event;
mod feed;
mod kafka;
mod lease;
mod log;
mod reactor;
mod relay;
mod runner;
mod sealing;
mod state;
mod store;
mod stream;
mod timers;
mod transaction;

pub use checkpoint::Checkpoint;
pub use command::{CommandContext, CommandId, Decided, ExecuteError, Executed, Timer, TimerChange};
pub use event::{DecodeError, Metadata, RecordedEvent};
pub use feed::{FEED_WAIT_MAX, Feed, FeedError, FeedSource, Feeds, StoreFeed};
pub use kafka::{
    Buffered, KafkaFeed, KafkaSettings, PARTITIONS, TopicState, Topics, ensure_topics,
    missing_topics,
};
pub use lease::{Lease, LeaseError, LeaseRow};
pub use reactor::{
    Begins, Parks, ReactError, Reactions, ReactionsError, Reactor, ReactorProgress, ResetError,
    reactor_progress,
};
pub use relay::{Relay, RelayError, RelayStatus};
pub use runner::{HandleError, Handler, RunError, Runner, RunnerOptions, Step};
pub use sealing::{DataKey, Keys, SealError, Sealer};
pub use store::{EventStore, OpenError, Options, StatesError, check_keys, check_schema};
pub use stream::{Stream, StreamSet};
pub use timers::{DueTimer, TimerHandler, Timers};
pub use transaction::{begin, begin_with};

/// The name of the log in this database.
pub const LOG: &str = "main";

/// The schema of the log and its bookkeeping, forward-only.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
