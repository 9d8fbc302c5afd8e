//! Transactions that may be given up at any moment.

use sqlx::{PgPool, PgTransaction};

/// Begins a transaction, for whoever may be dropped meanwhile: a request whose client goes away, a follower that is shut down.
///
/// The pool's own `begin`, dropped while the server answers, gives the connection back *inside* a transaction
/// that nobody ends. What others then write over it, each statement a transaction of its own as far as they
/// know, is answered and not durable.
///
/// # Errors
/// As the pool's.
pub async fn begin(pool: &PgPool) -> sqlx::Result<PgTransaction<'static>> {
    begin_with(pool, "begin").await
}

/// As [`begin`], by a statement of the caller's.
///
/// # Errors
/// As the pool's.
pub async fn begin_with(
    pool: &PgPool,
    statement: &'static str,
) -> sqlx::Result<PgTransaction<'static>> {
    let pool = pool.clone();
    // It goes on when nobody waits for it any more, and is then rolled back as a whole.
    let beginning = tokio::spawn(async move { pool.begin_with(statement).await });
    beginning.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
