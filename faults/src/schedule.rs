//! How long a fault test runs, and from which seed it draws.

use std::sync::LazyLock;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{Mutex, MutexGuard};

/// Set to run the tests for minutes instead of seconds (`make faults`).
const LONG: &str = "NAKKU_FAULTS_LONG";
/// Set to draw the same faults again.
const SEED: &str = "NAKKU_FAULTS_SEED";

/// A seeded run, short in `make test` and long in `make faults`.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Printed at the start; `NAKKU_FAULTS_SEED` repeats it.
    pub seed: u64,
    /// Whether this is the long run.
    pub long: bool,
}

impl Schedule {
    /// The schedule of this run, printed under the test's name.
    ///
    /// # Panics
    /// When the seed in the environment is not a number.
    pub fn of(test: &str) -> Schedule {
        let seed = std::env::var(SEED).ok().map_or_else(rand::random, |seed| {
            seed.parse().expect("NAKKU_FAULTS_SEED is a number")
        });
        let long = std::env::var_os(LONG).is_some_and(|value| !value.is_empty());
        println!("{test}: {SEED}={seed}{}", if long { ", long" } else { "" });
        Schedule { seed, long }
    }

    /// Random numbers of this run.
    pub fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.seed)
    }

    /// One duration for `make test`, another one for `make faults`.
    pub fn lasting(&self, short: Duration, long: Duration) -> Duration {
        if self.long { long } else { short }
    }

    /// One number for `make test`, another one for `make faults`.
    pub fn times(&self, short: usize, long: usize) -> usize {
        if self.long { long } else { short }
    }
}

/// Held by a test while it loads the machine, so that the bounds of the others stay meaningful.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);
    ALONE.lock().await
}
