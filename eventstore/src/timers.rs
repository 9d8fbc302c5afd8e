//! Acting on time: handing timers that are due to whoever acts on them.
//!
//! A timer is a row that the append writes with the events that decide it. Here rows are only read, without a lock, by the
//! database's clock: a worker that held locks while it waits for the committer would stop the whole log. What is due is
//! acted on by a command with an id of its own, whose append clears the row or moves it. So a timer is acted on at least
//! once, and its command takes effect once.

mod attempts;
mod due;
mod firing;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::firing::Firing;
use crate::command::CAUSE;
use crate::event::Metadata;
use crate::lease::Lease;
use crate::store::EventStore;

/// Timers of one handler acted on at once, unless it says otherwise.
const AT_ONCE: usize = 64;

/// Acts on timers that are due.
#[async_trait]
pub trait TimerHandler: Send + Sync + 'static {
    /// What the names of its timers begin with, up to their first `/` and with it, as `payment/`. One handler has them all.
    fn prefix(&self) -> &'static str;

    /// Whether some are due as soon as they are set: then every append is a reason to look. Others are looked for by the
    /// clock alone, and acted on up to half a second late.
    fn are_due_at_once(&self) -> bool {
        true
    }

    /// Acts on a timer that is due; its command clears the row or moves it. May be asked for the same timer again: what it
    /// does is to happen once, as a command does whose id is derived from [`DueTimer::id`]. An error is logged. A timer that
    /// stays due, after an error or without one, is tried again, later each time and without end.
    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()>;
}

/// A timer whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct DueTimer {
    pub name: String,
    pub due_at: DateTime<Utc>,
    pub payload: Value,
}

impl DueTimer {
    /// Tells this timer from one of the same name at another time: what the id of its command is derived from.
    pub fn id(&self) -> String {
        let due_at = self.due_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        format!("{}@{due_at}", self.name)
    }

    /// Of what acting on it is a consequence. One that says nothing of it is acted on all the same.
    pub fn cause(&self) -> Metadata {
        let cause = self.payload.get(CAUSE).cloned().unwrap_or_default();
        serde_json::from_value(cause).unwrap_or_default()
    }
}

/// The timers of one handler, acted on by one process at a time: the holder of the lease `timers-<prefix>`, as
/// `timers-payment`.
pub struct Timers {
    store: EventStore,
    handler: Arc<dyn TimerHandler>,
    holder: String,
    at_once: usize,
}

impl Timers {
    /// `holder` names this process in the lease.
    ///
    /// # Panics
    /// Where the handler's prefix does not end with its only `/`.
    pub fn new(
        store: EventStore,
        handler: Arc<dyn TimerHandler>,
        holder: impl Into<String>,
    ) -> Self {
        let prefix = handler.prefix();
        let slash = prefix.find('/').map(|slash| slash + 1);
        assert!(
            slash == Some(prefix.len()),
            "{prefix} is not a prefix of timers"
        );
        Self {
            store,
            handler,
            holder: holder.into(),
            at_once: AT_ONCE,
        }
    }

    /// Most timers acted on at once; 64 unless set.
    #[must_use]
    pub fn at_once(self, at_once: usize) -> Self {
        Self {
            at_once: at_once.max(1),
            ..self
        }
    }

    /// Acts on what is due, or stands by, until `stop`. What is under way at the end is finished, within bounds. A database
    /// that does not answer is waited for.
    pub async fn run(&self, stop: CancellationToken) {
        let prefix = self.handler.prefix();
        let name = format!("timers-{}", prefix.trim_end_matches('/'));
        let pool = self.store.pool();
        while let Some(lease) = Lease::acquire_when_free(pool, &name, &self.holder, &stop).await {
            let firing = Firing::new(&self.store, &self.handler, self.at_once);
            firing.run(&stop, lease.lost()).await;
            if lease.lost().is_cancelled() {
                continue;
            }
            if let Err(error) = lease.release().await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(lease = name, error, "lease not released");
            }
        }
    }
}
