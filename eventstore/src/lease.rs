//! Who may do what only one may do.
//!
//! A lease is a row with an epoch. It is taken once it has expired by the database's clock, and taking it
//! raises the epoch. Whatever it protects is written `where epoch = mine`, so a holder that was frozen and
//! wakes up late changes nothing. Session locks would not do: a frozen session never gives one up, and
//! connection poolers break them.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgExecutor, PgPool};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long others wait after the last renewal before they take over.
const EXPIRY: Duration = Duration::from_secs(3);

/// A third of the expiry: two renewals may fail before the lease is in danger.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

/// By its own monotonic clock a holder stops this long after the last renewal, a second before anyone else
/// may begin.
const VALIDITY: Duration = Duration::from_secs(2);

/// How soon a renewal that failed is tried again; several fit into what is left of the validity.
const RENEWAL_RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// How often a stand-by looks whether the lease is free: take-over within expiry and one interval.
const STANDBY_INTERVAL: Duration = Duration::from_millis(500);

/// What only one may do at a time, held by this process; renewed in the background until it is released,
/// dropped or lost. Dropped without a release, it expires by itself.
#[derive(Debug)]
pub struct Lease {
    pool: PgPool,
    name: String,
    holder: String,
    epoch: i64,
    location: Option<String>,
    shared: Arc<Shared>,
    _stop_renewing: DropGuard,
}

#[derive(Debug)]
struct Shared {
    acquired: Instant,
    /// Milliseconds from `acquired` to the sending of the last renewal that was confirmed.
    renewed_millis: AtomicU64,
    lost: CancellationToken,
}

/// A lease as its row says, for those who only look.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct LeaseRow {
    pub name: String,
    pub holder: String,
    pub epoch: i64,
    pub expires_at: DateTime<Utc>,
    /// Whether it has not expired, by the database's clock.
    pub held: bool,
    /// Where the holder writes, if readers must know.
    pub location: Option<String>,
}

/// Why something under a lease did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Someone else holds it, or this holder has not renewed it in time.
    #[error("the lease {name} is lost")]
    Lost { name: String },
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

impl Lease {
    /// Takes the lease if it is free: never held, released, or expired by the database's clock. None where
    /// another holds it.
    pub async fn acquire(
        pool: &PgPool,
        name: &str,
        holder: &str,
    ) -> Result<Option<Self>, LeaseError> {
        let acquired = Instant::now();
        let row: Option<(i64, Option<String>)> = sqlx::query_as(
            "insert into leases as held (name, holder, epoch, expires_at)
             values ($1, $2, 1, clock_timestamp() + make_interval(secs => $3))
             on conflict (name) do update
             set holder = excluded.holder, epoch = held.epoch + 1,
                 expires_at = clock_timestamp() + make_interval(secs => $3)
             where held.expires_at <= clock_timestamp()
             returning epoch, location",
        )
        .bind(name)
        .bind(holder)
        .bind(EXPIRY.as_secs_f64())
        .fetch_optional(pool)
        .await?;
        let Some((epoch, location)) = row else {
            return Ok(None);
        };

        let shared = Arc::new(Shared {
            acquired,
            renewed_millis: AtomicU64::new(0),
            lost: CancellationToken::new(),
        });
        let stop = CancellationToken::new();
        tokio::spawn(renew(
            pool.clone(),
            name.to_owned(),
            epoch,
            Arc::clone(&shared),
            stop.clone(),
        ));
        tracing::info!(lease = name, holder, epoch, "lease taken");
        Ok(Some(Self {
            pool: pool.clone(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            epoch,
            location,
            shared,
            _stop_renewing: stop.drop_guard(),
        }))
    }

    /// Stands by until the lease is free and takes it. None once `shutdown` is cancelled. A database that
    /// does not answer is waited for.
    pub async fn acquire_when_free(
        pool: &PgPool,
        name: &str,
        holder: &str,
        shutdown: &CancellationToken,
    ) -> Option<Self> {
        loop {
            if shutdown.is_cancelled() {
                return None;
            }
            match Self::acquire(pool, name, holder).await {
                Ok(Some(lease)) => return Some(lease),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(
                        lease = name,
                        error = &error as &dyn Error,
                        "cannot ask for the lease"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(STANDBY_INTERVAL) => {}
                () = shutdown.cancelled() => return None,
            }
        }
    }

    /// The row of a lease; none where nobody ever took it.
    pub async fn read(executor: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<LeaseRow>> {
        sqlx::query_as(
            "select name, holder, epoch, expires_at, expires_at > clock_timestamp() as held, location
             from leases where name = $1",
        )
        .bind(name)
        .fetch_optional(executor)
        .await
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Higher with every holder; what the lease protects is written `where epoch = mine`.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// What the holder before this one left as its location.
    pub fn previous_location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Cancelled when the lease is lost or released: the work under it has to stop.
    pub fn lost(&self) -> &CancellationToken {
        &self.shared.lost
    }

    /// Whether it was renewed lately enough, by this process's own clock. True means that nobody else
    /// works under it now, and for another second at least.
    pub fn is_valid(&self) -> bool {
        self.shared.is_valid()
    }

    /// Tells readers where this holder writes.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] where another has taken the lease meanwhile.
    pub async fn set_location(&self, location: &str) -> Result<(), LeaseError> {
        let changed = sqlx::query("update leases set location = $3 where name = $1 and epoch = $2")
            .bind(&self.name)
            .bind(self.epoch)
            .bind(location)
            .execute(&self.pool)
            .await?
            .rows_affected();
        if changed == 0 {
            self.shared.lost.cancel();
            return Err(self.lost_error());
        }
        Ok(())
    }

    /// Gives the lease up, so that a stand-by takes it at its next look instead of after the expiry.
    pub async fn release(&self) -> Result<(), LeaseError> {
        self.shared.lost.cancel();
        sqlx::query(
            "update leases set expires_at = clock_timestamp() where name = $1 and epoch = $2",
        )
        .bind(&self.name)
        .bind(self.epoch)
        .execute(&self.pool)
        .await?;
        tracing::info!(lease = self.name, epoch = self.epoch, "lease released");
        Ok(())
    }

    pub(crate) fn lost_error(&self) -> LeaseError {
        LeaseError::Lost {
            name: self.name.clone(),
        }
    }
}

impl Shared {
    fn valid_until(&self) -> Instant {
        let renewed = Duration::from_millis(self.renewed_millis.load(Ordering::Acquire));
        self.acquired + renewed + VALIDITY
    }

    fn is_valid(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < self.valid_until()
    }

    /// `sent` is taken before the statement leaves: the database's clock runs from a later moment.
    fn renewed(&self, sent: Instant) {
        let millis = sent.duration_since(self.acquired).as_millis();
        self.renewed_millis
            .store(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Release);
    }
}

async fn renew(
    pool: PgPool,
    name: String,
    epoch: i64,
    shared: Arc<Shared>,
    stop: CancellationToken,
) {
    let renewing = async {
        let mut pause = RENEWAL_INTERVAL;
        loop {
            tokio::time::sleep(pause).await;
            let sent = Instant::now();
            match renew_once(&pool, &name, epoch).await {
                Ok(true) => {
                    shared.renewed(sent);
                    pause = RENEWAL_INTERVAL.saturating_sub(sent.elapsed());
                }
                Ok(false) => return "another holder took it",
                Err(error) => {
                    tracing::warn!(
                        lease = name,
                        epoch,
                        error = &error as &dyn Error,
                        "lease not renewed"
                    );
                    pause = RENEWAL_RETRY_INTERVAL;
                }
            }
        }
    };
    let running_out = async {
        loop {
            let deadline = shared.valid_until();
            if Instant::now() >= deadline {
                return "it could not be renewed in time";
            }
            tokio::time::sleep_until(deadline.into()).await;
        }
    };
    let reason = tokio::select! {
        () = stop.cancelled() => return,
        () = shared.lost.cancelled() => return,
        reason = renewing => reason,
        reason = running_out => reason,
    };
    tracing::warn!(lease = name, epoch, reason, "lease lost");
    shared.lost.cancel();
}

/// False where another has taken it.
async fn renew_once(pool: &PgPool, name: &str, epoch: i64) -> sqlx::Result<bool> {
    let renewed = sqlx::query(
        "update leases set expires_at = clock_timestamp() + make_interval(secs => $3)
         where name = $1 and epoch = $2",
    )
    .bind(name)
    .bind(epoch)
    .bind(EXPIRY.as_secs_f64())
    .execute(pool)
    .await?
    .rows_affected();
    Ok(renewed > 0)
}
