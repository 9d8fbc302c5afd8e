//! From events to read models.
//!
//! One file a model says what each event writes ([`ReadModel`] names them); a new event fails to compile until
//! every model has decided about it. Around them:
//!
//! - [`Worker`] holds a model's lease and keeps its generations at the head of the log.
//! - [`replay`] asks for rebuilds and rollbacks, and tells how they go. A rebuild makes generation n+1 beside n
//!   from the log, compares the two at one position, and switches by one row.
//! - [`status`] is the state of every model, for operators.
//! - [`verify`] checks the log's invariants, and every model against a rebuild.
//!
//! A generation's rows and its checkpoint commit together, and rows know the version of the stream they show:
//! redelivery is always safe.

// A new event must not compile until every read model has decided about it.
#![deny(clippy::wildcard_enum_match_arm)]

mod generation;
mod generations;
mod model;
mod products;
mod recorded;
pub mod replay;
mod rows;
mod search;
pub mod status;
mod stock;
mod users;
pub mod verify;
mod worker;

pub use model::{ReadModel, UnknownModel};
pub use worker::Worker;
