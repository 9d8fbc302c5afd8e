//! Transactions of whoever writes read models.

use sqlx::{PgPool, PgTransaction};

/// Begins one that the server ends, and gives its locks back, once the program has been silent in it for 2 s. A
/// program that is frozen in the middle would hold them for as long as it is, and whoever takes over would wait
/// for it; its lease lasts 3 s, so by then they are free.
const BEGIN: &str = "begin; set local idle_in_transaction_session_timeout = '2s'";

/// One that sees the database as it is at its first statement, for statements that take as long as they take.
const BEGIN_READING: &str = "begin isolation level repeatable read read only; \
     set local idle_in_transaction_session_timeout = '2s'; set local statement_timeout = 0";

/// A transaction to write in.
pub(crate) async fn begin(pool: &PgPool) -> sqlx::Result<PgTransaction<'static>> {
    eventstore::begin_with(pool, BEGIN).await
}

/// A transaction to read much in, as of now.
pub(crate) async fn begin_reading(pool: &PgPool) -> sqlx::Result<PgTransaction<'static>> {
    let mut transaction = eventstore::begin_with(pool, BEGIN_READING).await?;
    // What it sees is settled by its first statement.
    sqlx::query("select 1").execute(&mut *transaction).await?;
    Ok(transaction)
}
