//! Kafka holds what the log holds: each event, in order for each key, whatever dies between the two.

mod dump;
mod follower;
mod leaders;
mod outages;
mod points;
mod refill;
mod refused;
mod shop;
mod topics;

use std::time::Duration;

/// A bound for what takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// A bound for catching up after an outage, of the long run as well.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(180);
