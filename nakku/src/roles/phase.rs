//! Where a process stands between its start and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use http_server::health::Check;

const STARTING: u8 = 0;
const RUNNING: u8 = 1;
const STOPPING: u8 = 2;

/// Starting, running or stopping; only a running process is ready.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// Everything answers.
    pub(super) fn run(&self) {
        // A process that is stopping stays so.
        let _ = self
            .0
            .compare_exchange(STARTING, RUNNING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Nothing new is to be begun: load balancers look elsewhere from now on.
    pub(super) fn stop(&self) {
        self.0.store(STOPPING, Ordering::Release);
    }

    /// The readiness of the process itself.
    pub(super) fn check(&self) -> Check {
        let phase = self.clone();
        Check::new("process", move || {
            let phase = phase.0.load(Ordering::Acquire);
            std::future::ready(match phase {
                RUNNING => Ok("running".to_owned()),
                STOPPING => Err("stopping".to_owned()),
                _ => Err("starting".to_owned()),
            })
        })
    }
}
