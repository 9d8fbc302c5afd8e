//! The schema of the log, and its migrations.

use anyhow::{Context, bail};
use sqlx::PgPool;
use sqlx::migrate::MigrateError;

/// Brings the schema to this version. Of several processes that do so at once one works and the others wait.
///
/// Returns the newest migration's number, and how many were applied now.
///
/// # Errors
/// One line: a schema of a newer program, or a statement that failed.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<(i64, usize)> {
    let before = applied(pool).await?;
    match eventstore::MIGRATIONS.run(pool).await {
        Ok(()) => {}
        Err(MigrateError::VersionMissing(version)) => {
            bail!("the database was written by a newer version of nakku (migration {version})")
        }
        Err(MigrateError::VersionMismatch(version)) => {
            bail!("migration {version} of the database differs from this program's")
        }
        Err(error) => return Err(error).context("the schema cannot be brought to this version"),
    }
    let after = applied(pool).await?;
    let newest = after.iter().copied().max().unwrap_or_default();
    Ok((newest, after.len() - before.len()))
}

async fn applied(pool: &PgPool) -> sqlx::Result<Vec<i64>> {
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await?;
    if !exists {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(pool)
        .await
}
