//! Where the holder of a lease writes: the table `leases`, read only.

use sqlx::PgExecutor;

/// What a lease says about the place its holder writes to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Location {
    pub epoch: i64,
    /// Relative to the data directory.
    pub location: String,
    pub holder: String,
}

/// The place that a lease names, whether or not the lease has expired: what was written there
/// last still stands. `None` while nobody has named one.
pub async fn current_location(
    executor: impl PgExecutor<'_>,
    lease: &str,
) -> sqlx::Result<Option<Location>> {
    sqlx::query_as(
        "select epoch, location, holder from leases where name = $1 and location is not null",
    )
    .bind(lease)
    .fetch_optional(executor)
    .await
}
