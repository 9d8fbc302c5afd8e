//! Refresh tokens: opaque, each good for one use, kept as digests. The tokens that follow one log-in are a family; who
//! uses one of them again ends it, because then two hold it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::UserId;
use sha2::{Digest, Sha256};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::credentials;

const TOKEN_BYTES: usize = 32;
/// Longer texts are no tokens of ours.
const TOKEN_CHARACTERS_MAX: usize = 64;
/// A token not used for so long is void.
const LIFETIME_DAYS: i32 = 30;
/// How often void rows are deleted, and how many at once.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);
const PURGE_ROWS_MAX: i64 = 10_000;

/// A token as the client sent it.
#[derive(Clone, Copy)]
pub(crate) struct Presented([u8; 32]);

impl Presented {
    /// None for what cannot be one.
    pub(crate) fn new(token: &str) -> Option<Self> {
        (token.len() <= TOKEN_CHARACTERS_MAX).then(|| Self(digest(token)))
    }
}

/// 256 random bits need no slow hash.
fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn draw() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; TOKEN_BYTES]>())
}

/// The first token of a family. None if the user's password hash is another one by now: who logged in with the old
/// password must not outlast its change.
pub(crate) async fn begin_family(
    pool: &PgPool,
    user: UserId,
    password_hash: &str,
) -> sqlx::Result<Option<String>> {
    let token = draw();
    let begun = sqlx::query(
        "insert into refresh_tokens (token_hash, user_id, family, expires_at)
         select $1, user_id, $2, now() + make_interval(days => $3)
         from credentials where user_id = $4 and password_hash = $5
         for share",
    )
    .bind(digest(&token))
    .bind(Uuid::now_v7())
    .bind(LIFETIME_DAYS)
    .bind(user.as_uuid())
    .bind(password_hash)
    .execute(pool)
    .await?;
    Ok((begun.rows_affected() == 1).then_some(token))
}

/// Whose token it is, used or not.
pub(crate) async fn holder(pool: &PgPool, token: Presented) -> sqlx::Result<Option<UserId>> {
    let user: Option<Uuid> =
        sqlx::query_scalar("select user_id from refresh_tokens where token_hash = $1")
            .bind(token.0)
            .fetch_optional(pool)
            .await?;
    Ok(user.map(UserId::new))
}

/// The next token of the family, in exchange for this one. None if it was used before, which ends the family, or is void.
pub(crate) async fn rotate(
    pool: &PgPool,
    user: UserId,
    token: Presented,
) -> sqlx::Result<Option<String>> {
    let mut transaction = eventstore::begin(pool).await?;
    // Against a password that is being changed, in the order of locks that the change takes.
    sqlx::query("select from credentials where user_id = $1 for share")
        .bind(user.as_uuid())
        .execute(&mut *transaction)
        .await?;
    let family: Option<Uuid> = sqlx::query_scalar(
        "update refresh_tokens set used = true
         where token_hash = $1 and user_id = $2 and not used and expires_at > now() returning family",
    )
    .bind(token.0)
    .bind(user.as_uuid())
    .fetch_optional(&mut *transaction)
    .await?;
    let next = match family {
        Some(family) => Some(continue_family(&mut *transaction, user, family).await?),
        None => {
            tracing::warn!(user_id = %user, "a refresh token was used again or is void: its family ends");
            end_family(&mut *transaction, user, token).await?;
            None
        }
    };
    transaction.commit().await?;
    Ok(next)
}

async fn continue_family(
    executor: impl PgExecutor<'_>,
    user: UserId,
    family: Uuid,
) -> sqlx::Result<String> {
    let token = draw();
    sqlx::query(
        "insert into refresh_tokens (token_hash, user_id, family, expires_at)
         values ($1, $2, $3, now() + make_interval(days => $4))",
    )
    .bind(digest(&token))
    .bind(user.as_uuid())
    .bind(family)
    .bind(LIFETIME_DAYS)
    .execute(executor)
    .await?;
    Ok(token)
}

/// Ends the family of this token, if it is the user's.
pub(crate) async fn end_family(
    executor: impl PgExecutor<'_>,
    user: UserId,
    token: Presented,
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from refresh_tokens
         where family = (select family from refresh_tokens where token_hash = $1 and user_id = $2)",
    )
    .bind(token.0)
    .bind(user.as_uuid())
    .execute(executor)
    .await?;
    Ok(())
}

/// Ends every family of the user.
pub(crate) async fn end_all(executor: impl PgExecutor<'_>, user: UserId) -> sqlx::Result<()> {
    sqlx::query("delete from refresh_tokens where user_id = $1")
        .bind(user.as_uuid())
        .execute(executor)
        .await?;
    Ok(())
}

/// Deletes void tokens, those of users who have no password any more, and passwords of users who are not there, now and
/// then, for ever.
pub(crate) async fn purge(pool: PgPool) {
    loop {
        if let Err(error) = purge_once(&pool).await {
            tracing::debug!(%error, "cannot delete void refresh tokens");
        }
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

async fn purge_once(pool: &PgPool) -> sqlx::Result<()> {
    let left_behind = credentials::delete_ownerless(pool, PURGE_ROWS_MAX).await?;
    if left_behind > 0 {
        tracing::info!(
            left_behind,
            "passwords of users who are not there are deleted"
        );
    }
    sqlx::query(
        "delete from refresh_tokens where token_hash in (
           select t.token_hash from refresh_tokens t
           where t.expires_at < now()
              or not exists (select from credentials c where c.user_id = t.user_id)
           limit $1)",
    )
    .bind(PURGE_ROWS_MAX)
    .execute(pool)
    .await?;
    Ok(())
}
