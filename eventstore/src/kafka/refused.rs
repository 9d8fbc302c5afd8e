//! Records that are not handed out: counted each, told about now and then.

use std::time::Duration;

use tokio::time::Instant;

/// A topic full of what does not belong there must not fill the program's own log.
const TOLD_INTERVAL: Duration = Duration::from_secs(5);

/// Why a record is not handed out. Its event, if it has one, comes from the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Unreadable,
    OtherLog,
    /// Its position is further beyond the log's end than a record can be ahead of what is known of it.
    BeyondLog,
    /// The log holds another event at its position, or none.
    NotInLog,
}

impl Reason {
    fn name(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::OtherLog => "other-log",
            Self::BeyondLog => "beyond-log",
            Self::NotInLog => "not-in-log",
        }
    }
}

/// What was refused so far.
pub(crate) struct Refused {
    records: u64,
    untold: u64,
    tell_at: Instant,
}

impl Refused {
    pub(crate) fn none(now: Instant) -> Self {
        Self {
            records: 0,
            untold: 0,
            tell_at: now,
        }
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Counts a record; `place` says where it is, for whoever looks for it.
    pub(crate) fn count(&mut self, reason: Reason, place: impl FnOnce() -> String) {
        self.records += 1;
        self.untold += 1;
        let reason = reason.name();
        metrics::counter!("nakku_feed_records_refused_total", "reason" => reason).increment(1);
        let now = Instant::now();
        if now >= self.tell_at {
            tracing::warn!(
                record = place(),
                reason,
                records = self.untold,
                "records passed over, their events come from the log"
            );
            self.untold = 0;
            self.tell_at = now + TOLD_INTERVAL;
        }
    }
}
