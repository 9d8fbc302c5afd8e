//! From events to read models.
//!
//! One file a model says what each event writes ([`ReadModel`] names them); a new event fails to compile until
//! every model has decided about it. Around them:
//!
//! - [`Worker`] holds a model's lease and keeps its generations at the head of the log.
//! - A rebuild, asked for by [`read_models::replays`], makes generation n+1 beside n from the log, compares the
//!   two at one position, and switches by one row. [`replay`] waits until it is finished.
//! - [`verify`] checks the log's invariants, and every model against a rebuild.
//!
//! A generation's rows and its checkpoint commit together, and rows know the version of the stream they show:
//! redelivery is always safe.

// A new event must not compile until every read model has decided about it.
#![deny(clippy::wildcard_enum_match_arm)]

mod analytics;
mod deliveries;
mod generation;
mod generations;
mod model;
mod notifications;
mod orders;
mod payments;
mod products;
mod projection;
mod recorded;
pub mod replay;
mod rows;
mod sagas;
mod search;
mod stock;
mod timeline;
mod transaction;
mod users;
pub mod verify;
mod worker;

pub use model::{ReadModel, UnknownModel};
pub use worker::Worker;
