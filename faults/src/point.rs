//! Named points in the code of the product, at which a process freezes or kills itself.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, raise};
use serde::{Deserialize, Serialize};

/// What happens to a process at a point. Both come from the kernel: nothing of the process runs after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, until somebody sends SIGCONT.
    Freeze,
}

/// The `occurrence`-th time (from 1) that the process passes `point`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// As named by `fail_point!` in the product, for example `relay-sent`.
    pub point: String,
    /// Counted from 1.
    pub occurrence: u64,
    /// What happens there.
    pub fault: Fault,
}

impl At {
    /// Arms the point in this process.
    ///
    /// # Panics
    /// When the product was built without its `failpoints` feature.
    pub fn arm(self) {
        assert!(fail::has_failpoints(), "built without fail points");
        let passed = AtomicU64::new(0);
        let signal = match self.fault {
            Fault::Kill => Signal::SIGKILL,
            Fault::Freeze => Signal::SIGSTOP,
        };
        let occurrence = self.occurrence;
        fail::cfg_callback(self.point, move || {
            if passed.fetch_add(1, Ordering::Relaxed) + 1 == occurrence {
                raise(signal).expect("a process may signal itself");
            }
        })
        .expect("a callback is always a valid action");
    }
}
