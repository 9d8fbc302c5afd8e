//! A read model's worker: holds its lease, or stands by.

mod building;
mod comparison;
mod control;
mod feed;
mod follower;
mod owner;
mod progress;
mod rebuild;
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use eventstore::{Feeds, Lease};
use read_models::search::SearchReader;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::owner::Owner;
use self::session::{Session, Until};
use crate::model::ReadModel;
use crate::sagas;

/// Waits between attempts of an owner that cannot work: doubled from the first to the second.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Keeps one read model up to date, carries out what operators ask for, or stands by for whoever does.
pub struct Worker {
    feeds: Feeds,
    model: ReadModel,
    consumer: String,
    data_directory: PathBuf,
    holder: String,
    reader: Option<SearchReader>,
    position: Arc<watch::Sender<i64>>,
}

impl Worker {
    /// A worker that follows the log through `feeds`, which it may share with others. An index is kept under
    /// `data_directory`; `holder` names this process in leases.
    ///
    /// # Errors
    /// Where the data directory's id can neither be read nor made.
    pub fn new(
        feeds: Feeds,
        model: ReadModel,
        data_directory: &Path,
        holder: String,
    ) -> anyhow::Result<Self> {
        let consumer = model.consumer(data_directory).with_context(|| {
            format!("cannot tell which index {} holds", data_directory.display())
        })?;
        Ok(Self {
            feeds,
            model,
            consumer,
            data_directory: data_directory.to_owned(),
            holder,
            reader: None,
            position: Arc::default(),
        })
    }

    /// Wakes a reader of the index in this process after each commit, so that it need not look for it.
    #[must_use]
    pub fn waking(self, reader: SearchReader) -> Self {
        Self {
            reader: Some(reader),
            ..self
        }
    }

    pub fn model(&self) -> ReadModel {
        self.model
    }

    /// The model's name in `projections`, `checkpoints`, `dead_letters` and `leases`.
    pub fn consumer(&self) -> &str {
        &self.consumer
    }

    /// The live generation's position as this worker moves it; 0 while it stands by.
    pub fn position(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }

    /// Works as owner of the lease, or stands by, until `shutdown`. Then the lease is released.
    pub async fn run(&self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let pool = self.feeds.store().pool();
        loop {
            let lease =
                Lease::acquire_when_free(pool, &self.consumer, &self.holder, &shutdown).await;
            let Some(lease) = lease else {
                return Ok(());
            };
            let owner = Arc::new(Owner::new(self, lease, &shutdown));
            if self.model == ReadModel::Sagas {
                tokio::spawn(sagas::report(pool.clone(), owner.stop.clone()));
            }
            let mut wait = RETRY_MIN;
            while let Err(error) = serve(&owner, Until::Stopped).await {
                if owner.stop.is_cancelled() {
                    break;
                }
                owner.fail(&format!("{error:#}")).await;
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = owner.stop.cancelled() => break,
                }
                wait = (wait * 2).min(RETRY_MAX);
            }
            self.position.send_replace(0);
            if shutdown.is_cancelled() {
                // It would expire by itself; released, a stand-by need not wait for that.
                if let Err(error) = owner.lease.release().await {
                    tracing::debug!(lease = self.consumer, %error, "lease not released");
                }
                return Ok(());
            }
        }
    }

    /// Where nobody holds the lease: takes it, carries out what was asked for, brings the model to the head of
    /// the log as of now, and releases it; `shutdown` ends it early. False where another holds the lease, who
    /// does it instead.
    ///
    /// # Errors
    /// Where the model could not be brought up to date; the line says what to run.
    pub async fn run_until_idle(&self, shutdown: &CancellationToken) -> anyhow::Result<bool> {
        let pool = self.feeds.store().pool();
        let Some(lease) = Lease::acquire(pool, &self.consumer, &self.holder).await? else {
            return Ok(false);
        };
        let owner = Arc::new(Owner::new(self, lease, shutdown));
        let served = serve(&owner, Until::Idle).await;
        self.position.send_replace(0);
        if owner.lease.lost().is_cancelled() {
            return Ok(false);
        }
        let served = match served {
            Err(error) if !shutdown.is_cancelled() => {
                owner.fail(&format!("{error:#}")).await;
                Err(error)
            }
            Ok(()) | Err(_) => Ok(true),
        };
        owner.lease.release().await?;
        served
    }
}

async fn serve(owner: &Arc<Owner>, until: Until) -> anyhow::Result<()> {
    owner.take_over().await?;
    fail::fail_point!("projection-taken-over");
    Session::open(owner).await?.serve(until).await
}
