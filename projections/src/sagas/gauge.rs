//! `nakku_sagas`: how many sagas there are in each state, told by the process that keeps the read model.

use std::time::Duration;

use read_models::sagas::{self, State};
use read_models::{Unavailable, positions};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const SAGAS: &str = "nakku_sagas";

/// Between two counts: a saga that halts is told by the next scrape.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counting reads an index from end to end. As many times what it took it rests, so that it costs 2 % of one connection
/// however many sagas there are.
const REST_PER_COUNT: u32 = 50;

/// Counts until `stop`, then takes its figures back: whoever keeps the read model next tells them.
pub(crate) async fn report(pool: PgPool, stop: CancellationToken) {
    metrics::describe_gauge!(SAGAS, "Sagas by state");
    stop.run_until_cancelled(keep_counting(&pool)).await;
    for state in State::ALL {
        metrics::gauge!(SAGAS, "state" => state.as_str()).set(0.0);
    }
}

async fn keep_counting(pool: &PgPool) {
    loop {
        let began = Instant::now();
        if let Err(error) = count(pool).await {
            tracing::debug!(%error, "sagas not counted");
        }
        let rest = began.elapsed().saturating_mul(REST_PER_COUNT);
        tokio::time::sleep(rest.max(INTERVAL)).await;
    }
}

async fn count(pool: &PgPool) -> Result<(), Unavailable> {
    let live = positions::await_position(pool, sagas::NAME, 0, Instant::now()).await?;
    let counted = sagas::count(pool, live.generation).await?;
    for state in State::ALL {
        let count = counted.get(&state).copied().unwrap_or(0);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        metrics::gauge!(SAGAS, "state" => state.as_str()).set(f64::from(count));
    }
    Ok(())
}
