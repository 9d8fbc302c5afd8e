//! The rows of password hashes. A row is written before the event that makes it count; without that event nobody finds
//! it, because log-in begins at the log.

use domain::UserId;
use sqlx::PgPool;

use crate::refresh_tokens;

pub(crate) async fn insert(pool: &PgPool, user: UserId, hash: &str) -> sqlx::Result<()> {
    sqlx::query("insert into credentials (user_id, password_hash) values ($1, $2)")
        .bind(user.as_uuid())
        .bind(hash)
        .execute(pool)
        .await?;
    Ok(())
}

pub(crate) async fn delete(pool: &PgPool, user: UserId) -> sqlx::Result<()> {
    sqlx::query("delete from credentials where user_id = $1")
        .bind(user.as_uuid())
        .execute(pool)
        .await?;
    Ok(())
}

pub(crate) async fn find(pool: &PgPool, user: UserId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("select password_hash from credentials where user_id = $1")
        .bind(user.as_uuid())
        .fetch_optional(pool)
        .await
}

/// Puts one hash in the place of another and ends every session of the user, both or neither. False if the hash is
/// another one by now.
pub(crate) async fn replace(
    pool: &PgPool,
    user: UserId,
    old: &str,
    new: &str,
) -> sqlx::Result<bool> {
    let mut transaction = eventstore::begin(pool).await?;
    // The row's lock comes first: a token that is being issued holds it shared, so none slips through the deletion.
    let replaced = sqlx::query(
        "update credentials set password_hash = $3, updated_at = now() where user_id = $1 and password_hash = $2",
    )
    .bind(user.as_uuid())
    .bind(old)
    .bind(new)
    .execute(&mut *transaction)
    .await?;
    if replaced.rows_affected() == 0 {
        return Ok(false);
    }
    refresh_tokens::end_all(&mut *transaction, user).await?;
    transaction.commit().await?;
    Ok(true)
}
