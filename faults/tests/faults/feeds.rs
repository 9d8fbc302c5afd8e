//! Feeds and the runner above them: the same promises over the log and over Kafka, whatever is broken off, and whatever
//! Kafka brings, lacks or loses.

mod catalogue;
mod emptied;
mod killed;
mod log;
mod shop;
mod shutdown;
mod topics;
mod worst;

use std::time::Duration;

/// More than anything here takes on a machine that is not stuck.
const LONG: Duration = Duration::from_secs(60);
