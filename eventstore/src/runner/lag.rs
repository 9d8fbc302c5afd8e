//! How far a consumer is behind the log. Measured against the log itself: a mark of the relay's that stands
//! still would look healthy.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::MissedTickBehavior;

const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the metrics up to date for as long as it is polled; without a name there are none. Never returns.
pub(super) async fn measure(pool: PgPool, name: Option<String>, position: Arc<AtomicI64>) {
    let Some(name) = name else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let position = position.load(Ordering::Relaxed);
        match lag(&pool, position).await {
            Ok((events, seconds)) => record(&name, position, events, seconds),
            Err(error) => tracing::debug!(projection = name, %error, "lag not measured"),
        }
    }
}

/// Events after a position, and the age of the oldest of them.
pub(crate) async fn lag(pool: &PgPool, position: i64) -> sqlx::Result<(i64, f64)> {
    sqlx::query_as(
        "select greatest(coalesce((select position from events order by position desc limit 1), 0) - $1, 0),
                greatest(coalesce(extract(epoch from clock_timestamp() - (
                  select recorded_at from events where position = $1 + 1
                )), 0), 0)::float8",
    )
    .bind(position)
    .fetch_one(pool)
    .await
}

// Positions are far below 2^53: exact as floats.
#[expect(clippy::cast_precision_loss)]
fn record(name: &str, position: i64, events: i64, seconds: f64) {
    let label = [("projection", name.to_owned())];
    metrics::gauge!("nakku_projection_position", &label).set(position as f64);
    metrics::gauge!("nakku_projection_lag_events", &label).set(events as f64);
    metrics::gauge!("nakku_projection_lag_seconds", &label).set(seconds);
}
