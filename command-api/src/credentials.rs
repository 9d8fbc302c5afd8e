//! The rows of password hashes. A row is written before the event that makes it count; without that event nobody finds
//! it, because log-in begins at the log.

use std::time::Duration;

use domain::UserId;
use sqlx::PgPool;

use crate::refresh_tokens;

/// Far longer than any registration takes from its row to its event.
const REGISTRATION_MAX: Duration = Duration::from_secs(3_600);

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

/// Deletes the hash and every session of the user, both or neither.
pub(crate) async fn end(pool: &PgPool, user: UserId) -> sqlx::Result<()> {
    let mut transaction = eventstore::begin(pool).await?;
    // The row's lock comes first, as in `replace`.
    sqlx::query("delete from credentials where user_id = $1")
        .bind(user.as_uuid())
        .execute(&mut *transaction)
        .await?;
    refresh_tokens::end_all(&mut *transaction, user).await?;
    transaction.commit().await
}

/// Deletes up to `rows_max` hashes of users who are erased or never came to be: what a process left behind that ended
/// between the log and this table. Those of a registration under way are too new. A missing data key alone is not enough:
/// an operator may be putting that table back.
pub(crate) async fn delete_ownerless(pool: &PgPool, rows_max: i64) -> sqlx::Result<u64> {
    let deleted = sqlx::query(
        "delete from credentials where user_id in (
           select c.user_id from credentials c
           where c.updated_at < now() - make_interval(secs => $1)
             and not exists (select from data_keys k where k.subject = c.user_id::text)
             and coalesce(
               (select e.event_type from events e
                where e.aggregate_type = 'user' and e.aggregate_id = c.user_id::text
                order by e.sequence desc limit 1),
               'user.erased') = 'user.erased'
           limit $2)",
    )
    .bind(REGISTRATION_MAX.as_secs_f64())
    .bind(rows_max)
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
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
