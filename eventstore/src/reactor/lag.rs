//! How far a reactor is behind the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::MissedTickBehavior;

use super::work::NO_LANES;
use crate::runner::lag::lag;

const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the metrics up to date for as long as it is polled. Never returns. Of what others work on nothing is told.
pub(super) async fn measure(pool: PgPool, reactor: String, reached: Arc<AtomicI64>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let position = reached.load(Ordering::Relaxed);
        let measured = match position {
            NO_LANES => Ok((0, 0.0)),
            position => lag(&pool, position).await,
        };
        match measured {
            Ok((events, seconds)) => record(&reactor, events, seconds),
            Err(error) => tracing::debug!(reactor, %error, "lag not measured"),
        }
    }
}

// Positions are far below 2^53: exact as floats.
#[expect(clippy::cast_precision_loss)]
fn record(reactor: &str, events: i64, seconds: f64) {
    let label = [("reactor", reactor.to_owned())];
    metrics::gauge!("nakku_reactor_lag_events", &label).set(events as f64);
    metrics::gauge!("nakku_reactor_lag_seconds", &label).set(seconds);
}
