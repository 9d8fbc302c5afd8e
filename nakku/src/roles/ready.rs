//! Waiting for the read models at the start.

use std::time::Duration;

use read_models::search::SearchReader;
use sqlx::PgPool;
use tokio::time::Instant;

/// How long one wait for a read model lasts before it is said that it takes long.
const WAIT: Duration = Duration::from_secs(5);

/// Waits until every read model has come to `position`; as long as it takes, since a rebuild of a long log may be under way.
pub(super) async fn read_models_at(
    pool: &PgPool,
    search: &SearchReader,
    position: i64,
) -> anyhow::Result<()> {
    for model in read_models::IN_TABLES {
        table_at(pool, model.name, position).await?;
    }
    while let Err(behind) = search.await_position(position, Instant::now() + WAIT).await {
        tracing::info!(%behind, "waiting for a read model");
    }
    Ok(())
}

async fn table_at(pool: &PgPool, name: &str, position: i64) -> anyhow::Result<()> {
    use read_models::Unavailable;
    use read_models::positions::await_position;

    loop {
        match await_position(pool, name, position, Instant::now() + WAIT).await {
            Ok(_) => return Ok(()),
            Err(Unavailable::Behind(behind)) => {
                tracing::info!(%behind, "waiting for a read model");
            }
            Err(Unavailable::Database(error)) => return Err(error.into()),
        }
    }
}
