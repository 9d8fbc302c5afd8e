//! How many connections to the database a process has, and how many of them wait for work.

use std::convert::Infallible;
use std::time::Duration;

use sqlx::PgPool;

/// Between two counts.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps `nakku_db_connections{state}` up to date.
pub(super) async fn report(pool: PgPool) -> Infallible {
    loop {
        let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
        let used = pool.size().saturating_sub(idle);
        metrics::gauge!("nakku_db_connections", "state" => "idle").set(idle);
        metrics::gauge!("nakku_db_connections", "state" => "used").set(used);
        tokio::time::sleep(INTERVAL).await;
    }
}
