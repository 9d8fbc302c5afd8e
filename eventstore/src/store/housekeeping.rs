//! What is checked before a store opens, and what goes on beside it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::watch;

use super::OpenError;
use crate::sealing::Keys;
use crate::{LOG, MIGRATIONS, log};

/// How often outcomes past their time are deleted, and how many at once.
const PURGE_EVERY: Duration = Duration::from_secs(600);
const PURGE_ROWS_MAX: i64 = 10_000;

/// How often the head of the log is read for appends of other processes.
const HEAD_POLL: Duration = Duration::from_millis(5);
/// And how long not, after the database could not be read.
const HEAD_RETRY: Duration = Duration::from_millis(250);

/// Whether the schema is exactly the one that this program was built for: for those who read the database
/// without opening the log.
///
/// # Errors
/// [`OpenError::SchemaOutdated`], [`OpenError::SchemaNewer`].
pub async fn check_schema(pool: &PgPool) -> Result<(), OpenError> {
    let newest = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    let exists: bool = sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null")
        .fetch_one(pool)
        .await?;
    if !exists {
        return Err(OpenError::SchemaOutdated);
    }
    let applied: Option<i64> =
        sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
            .fetch_one(pool)
            .await?;
    match applied {
        Some(applied) if applied > newest => Err(OpenError::SchemaNewer(applied)),
        Some(applied) if applied == newest => Ok(()),
        _ => Err(OpenError::SchemaOutdated),
    }
}

/// The first process writes the fingerprint of its keys file; every later one must have the same. Opening the log checks it,
/// and so must who opens sealed fields without it.
///
/// # Errors
/// [`OpenError::OtherKeys`].
pub async fn check_keys(pool: &PgPool, keys: &Keys) -> Result<(), OpenError> {
    let fingerprint = keys.fingerprint();
    let known: Vec<u8> = sqlx::query_scalar(
        "update log set keys_fingerprint = coalesce(keys_fingerprint, $2) where name = $1
         returning keys_fingerprint",
    )
    .bind(LOG)
    .bind(&fingerprint)
    .fetch_one(pool)
    .await?;
    if known == fingerprint {
        Ok(())
    } else {
        Err(OpenError::OtherKeys)
    }
}

/// Looks for appends of other processes while anybody follows the log here.
pub(super) async fn poll_head(pool: PgPool, head: Arc<watch::Sender<i64>>) {
    loop {
        tokio::time::sleep(HEAD_POLL).await;
        if head.is_closed() {
            continue;
        }
        match log::head(&pool).await {
            Ok(found) => {
                head.send_if_modified(|head| {
                    let newer = found.position > *head;
                    *head = (*head).max(found.position);
                    newer
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read the head of the log");
                tokio::time::sleep(HEAD_RETRY).await;
            }
        }
    }
}

pub(super) async fn purge_outcomes(pool: PgPool) {
    loop {
        let purged = sqlx::query(
            "delete from outcomes where command_id in (
               select command_id from outcomes where expires_at < now() order by expires_at limit $1)",
        )
        .bind(PURGE_ROWS_MAX)
        .execute(&pool)
        .await;
        if let Err(error) = purged {
            tracing::debug!(%error, "cannot delete old outcomes");
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}
