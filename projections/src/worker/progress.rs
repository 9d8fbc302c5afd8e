//! How far a rebuild is, for operators.

use std::sync::Arc;
use std::time::Duration;

use read_models::replays::Replay;
use tokio::time::Instant;

use super::owner::Owner;

/// Least time between two writes of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(300);

/// Keeps a replay's row up to date.
pub(crate) struct Progress {
    owner: Arc<Owner>,
    request: Option<Replay>,
    began: Instant,
    written: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(owner: &Arc<Owner>, request: Option<Replay>) -> Self {
        Self {
            owner: Arc::clone(owner),
            request,
            began: Instant::now(),
            written: None,
        }
    }

    /// Writes the progress down, unless that was done just now.
    pub(crate) async fn report(&mut self, position: i64, target: i64) {
        if self
            .written
            .is_none_or(|written| written.elapsed() >= PROGRESS_INTERVAL)
        {
            self.finish(position, target).await;
        }
    }

    // Positions are far below 2^53: exact as floats.
    #[expect(clippy::cast_precision_loss)]
    pub(crate) async fn finish(&mut self, position: i64, target: i64) {
        self.written = Some(Instant::now());
        let ratio = if target > 0 {
            position as f64 / target as f64
        } else {
            1.0
        };
        self.set_ratio(ratio.min(1.0));
        let Some(request) = &self.request else {
            return;
        };
        let rate = position as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let written = sqlx::query(
            "update replays set position = $2, target = $3, rate = $4
             where id = $1 and exists (select from leases where name = $5 and epoch = $6)",
        )
        .bind(request.id)
        .bind(position)
        .bind(target)
        .bind(rate)
        .bind(self.owner.lease.name())
        .bind(self.owner.lease.epoch())
        .execute(self.owner.store.pool())
        .await;
        if let Err(error) = written {
            tracing::debug!(%error, "progress not written");
        }
    }

    pub(crate) fn set_ratio(&self, ratio: f64) {
        let projection = self.owner.model.name();
        metrics::gauge!("nakku_replay_progress_ratio", "projection" => projection).set(ratio);
    }
}
