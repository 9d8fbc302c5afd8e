//! A read model is what the log makes of it, whatever dies, freezes or fills up between the two.

mod disk;
mod owners;
mod points;
pub(crate) mod shop;

use std::time::Duration;

/// A bound for what takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(60);
