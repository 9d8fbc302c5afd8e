//! What the holder of a read model's lease may do: make, open, compare and drop generations, and change the rows
//! that say which one answers. Every such change names the lease's epoch in its transaction.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use eventstore::{Checkpoint, EventStore, Feeds, Lease};
use read_models::generations::Registration;
use read_models::search::{self, SearchReader};
use read_models::{checkpoints, generations};
use sqlx::PgTransaction;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Worker;
use super::comparison::Comparison;
use crate::generation::{Generation, Index, OpenError, to_rest};
use crate::model::ReadModel;
use crate::transaction;

/// Longest wait for readers of a generation that is to be dropped.
const DROP_WAIT_MILLIS_MAX: u32 = 10_000;

/// One holding of a read model's lease.
pub(crate) struct Owner {
    pub(crate) store: EventStore,
    pub(crate) feeds: Feeds,
    pub(crate) model: ReadModel,
    pub(crate) consumer: String,
    pub(crate) data_directory: PathBuf,
    pub(crate) lease: Arc<Lease>,
    /// Cancelled when the program ends, and when the lease is lost: all writing has to stop.
    pub(crate) stop: CancellationToken,
    /// The live generation's position.
    pub(crate) position: Arc<watch::Sender<i64>>,
    reader: Option<SearchReader>,
    /// The generations of an index that have a directory of this epoch, made by this owner.
    taken_over: Mutex<HashSet<i32>>,
    _stop_watching: DropGuard,
}

impl Owner {
    pub(crate) fn new(worker: &Worker, lease: Lease, shutdown: &CancellationToken) -> Self {
        let stop = shutdown.child_token();
        let lost = lease.lost().clone();
        let stopped = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = lost.cancelled() => stopped.cancel(),
                () = stopped.cancelled() => {}
            }
        });
        Self {
            store: worker.feeds.store().clone(),
            feeds: worker.feeds.clone(),
            model: worker.model,
            consumer: worker.consumer.clone(),
            data_directory: worker.data_directory.clone(),
            lease: Arc::new(lease),
            taken_over: Mutex::default(),
            _stop_watching: stop.clone().drop_guard(),
            stop,
            position: Arc::clone(&worker.position),
            reader: worker.reader.clone(),
        }
    }

    /// The name under which a rebuild parks what it cannot handle, until it takes the live one's place.
    pub(crate) fn rebuild_consumer(&self) -> String {
        format!("{}{}", self.consumer, read_models::REBUILD_SUFFIX)
    }

    /// A transaction that can only commit while nobody else has taken the lease. To be short: meanwhile the
    /// lease cannot be renewed.
    pub(crate) async fn transaction(&self) -> anyhow::Result<PgTransaction<'static>> {
        let mut transaction = transaction::begin(self.store.pool()).await?;
        self.hold_lease(&mut transaction).await?;
        fail::fail_point!("projection-lease-held");
        Ok(transaction)
    }

    /// Keeps others from taking the lease until the transaction ends; fails where one has.
    async fn hold_lease(&self, transaction: &mut PgTransaction<'_>) -> anyhow::Result<()> {
        let mine: Option<i64> =
            sqlx::query_scalar("select epoch from leases where name = $1 and epoch = $2 for share")
                .bind(self.lease.name())
                .bind(self.lease.epoch())
                .fetch_optional(&mut **transaction)
                .await?;
        if mine.is_none() {
            self.stop.cancel();
        }
        self.check()
    }

    /// Fails once the lease is not held any more, or the program ends.
    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.stop.is_cancelled(),
            "the lease {} is lost",
            self.lease.name()
        );
        Ok(())
    }

    /// Records why the model stopped, and says so.
    pub(crate) async fn fail(&self, failure: &str) {
        let failure = failure.replace('\n', " ");
        tracing::error!(projection = self.consumer, failure, "read model stopped");
        if let Err(error) = self.set_failure(Some(&failure)).await {
            tracing::debug!(projection = self.consumer, %error, "failure not recorded");
        }
    }

    pub(crate) async fn set_failure(&self, failure: Option<&str>) -> anyhow::Result<()> {
        let mut transaction = self.transaction().await?;
        generations::set_failure(&mut *transaction, &self.consumer, failure).await?;
        Ok(transaction.commit().await?)
    }

    /// The row that says which generation answers.
    pub(crate) async fn registration(&self) -> anyhow::Result<Registration> {
        let registration = generations::read(self.store.pool(), &self.consumer).await?;
        registration.with_context(|| format!("projection {} is not registered", self.consumer))
    }

    /// Makes a generation, empty, in place of whatever was left under its number.
    pub(crate) async fn create(&self, number: i32) -> anyhow::Result<Box<dyn Generation>> {
        self.drop_generation(number).await?;
        let mut transaction = self.transaction().await?;
        let connection = &mut *transaction;
        if let Some(tables) = self.model.tables() {
            tables.create_generation(connection, number).await?;
        }
        checkpoints::create(&mut *transaction, &self.consumer, number).await?;
        sqlx::query("delete from dead_letters where consumer = $1")
            .bind(self.rebuild_consumer())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        if self.model == ReadModel::Search {
            let directory = search::path(&self.data_directory, number, self.lease.epoch());
            self.has_taken_over(number);
            let index = Index::create(directory, number, self.reader.clone()).await?;
            return Ok(Box::new(index));
        }
        Ok(self.open(number).await?)
    }

    /// Opens a generation where it was left.
    pub(crate) async fn open(&self, number: i32) -> Result<Box<dyn Generation>, OpenError> {
        let (model, epoch) = (self.model, self.lease.epoch());
        match model.open_tables(&self.store, number, epoch).await? {
            Some(tables) => Ok(tables),
            None => Ok(Box::new(self.open_index(number).await?)),
        }
    }

    /// An index is taken over from the owner before, who may not know yet that it is one no more, into a
    /// directory of this epoch. One that is there before this owner has made it is from before the restore of an
    /// older copy of the database, in which epochs are drawn again.
    async fn open_index(&self, number: i32) -> Result<Index, OpenError> {
        let (data_directory, epoch) = (self.data_directory.clone(), self.lease.epoch());
        let is_own = self
            .taken_over
            .lock()
            .expect("no panic while held")
            .contains(&number);
        let taken = spawn_blocking(move || {
            let epochs = search::epochs(&data_directory, number).with_context(|| {
                format!("cannot list the epochs of {}", data_directory.display())
            })?;
            let from = epochs
                .into_iter()
                .rfind(|it| *it < epoch || (is_own && *it == epoch));
            search::take_over(&data_directory, number, from, epoch).map_err(|error| {
                if error.needs_rebuild() {
                    OpenError::Damaged(error.to_string())
                } else {
                    OpenError::Other(error.into())
                }
            })
        })
        .await;
        let directory = taken.map_err(anyhow::Error::from)??;
        self.has_taken_over(number);
        fail::fail_point!("projection-index-linked");
        Index::open(directory, number, self.reader.clone()).await
    }

    fn has_taken_over(&self, number: i32) {
        let mut taken_over = self.taken_over.lock().expect("no panic while held");
        taken_over.insert(number);
    }

    /// Removes a generation that no row names any more.
    pub(crate) async fn drop_generation(&self, number: i32) -> anyhow::Result<()> {
        self.check()?;
        fail::fail_point!("replay-dropping");
        let mut transaction = transaction::begin(self.store.pool()).await?;
        sqlx::query(&format!("set local lock_timeout = {DROP_WAIT_MILLIS_MAX}"))
            .execute(&mut *transaction)
            .await?;
        let connection = &mut *transaction;
        match self.model.tables() {
            Some(tables) => tables.drop_generation(connection, number).await?,
            None => {
                let (data_directory, epoch) = (self.data_directory.clone(), self.lease.epoch());
                spawn_blocking(move || search::remove_generation(&data_directory, number, epoch))
                    .await??;
            }
        }
        checkpoints::delete(&mut *transaction, &self.consumer, number).await?;
        // Only now: it may have had to wait for readers, and meanwhile the lease could not have been renewed.
        // Another owner may have made a generation of this number by now, which is not to be dropped.
        self.hold_lease(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    /// The highest number of a generation of which there is anything.
    pub(crate) async fn highest_number(&self) -> anyhow::Result<i32> {
        Ok(self.numbers().await?.into_iter().max().unwrap_or(0))
    }

    /// The numbers of the generations of which there is anything but a row that names them.
    async fn numbers(&self) -> anyhow::Result<Vec<i32>> {
        let mut found: Vec<i32> =
            sqlx::query_scalar("select generation from checkpoints where consumer = $1")
                .bind(&self.consumer)
                .fetch_all(self.store.pool())
                .await?;
        if self.model == ReadModel::Search {
            found.extend(search::generations(&self.data_directory)?);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Removes what earlier switches and owners that crashed left: readers have had the time between two
    /// rebuilds to move on.
    pub(crate) async fn drop_unregistered(&self) -> anyhow::Result<()> {
        let registered = self.registration().await?.generations();
        for number in self.numbers().await? {
            if !registered.contains(&number) {
                self.drop_generation(number).await?;
            }
        }
        Ok(())
    }

    /// Looks at two generations, which stand at one position, to compare them. Both may move on then.
    pub(crate) async fn begin_comparison(
        &self,
        live: &dyn Generation,
        rebuilt: &dyn Generation,
    ) -> anyhow::Result<Comparison> {
        if let (Some(live), Some(rebuilt)) = (live.snapshot(), rebuilt.snapshot()) {
            return Ok(Comparison::Indexes { live, rebuilt });
        }
        let model = self.model.tables().context("an index shows no snapshot")?;
        Ok(Comparison::Tables {
            model,
            transaction: transaction::begin_reading(self.store.pool()).await?,
            live: live.number(),
            rebuilt: rebuilt.number(),
        })
    }

    /// Tells readers of an index, in the transaction of a switch, where it is now.
    pub(crate) async fn locate(
        &self,
        transaction: &mut PgTransaction<'_>,
        live: i32,
    ) -> sqlx::Result<()> {
        if self.model != ReadModel::Search {
            return Ok(());
        }
        sqlx::query("update leases set location = $3 where name = $1 and epoch = $2")
            .bind(self.lease.name())
            .bind(self.lease.epoch())
            .bind(search::location(live, self.lease.epoch()))
            .execute(&mut **transaction)
            .await?;
        Ok(())
    }

    /// Shows operators where an index stands: its checkpoint is in its last commit. Tables need no copy.
    pub(crate) async fn mirror(&self, positions: &[(i32, Checkpoint)]) -> sqlx::Result<()> {
        if self.model == ReadModel::Search {
            let (pool, epoch) = (self.store.pool(), self.lease.epoch());
            fail::fail_point!("projection-mirroring");
            for (number, checkpoint) in positions {
                let (name, checkpoint) = (&self.consumer, to_rest(checkpoint));
                checkpoints::publish_under_lease(pool, name, *number, epoch, &checkpoint).await?;
            }
            fail::fail_point!("projection-mirrored");
        }
        Ok(())
    }

    /// Removes the directories of owners before, of these generations.
    pub(crate) async fn remove_older_epochs(&self, numbers: Vec<i32>) -> anyhow::Result<()> {
        if self.model != ReadModel::Search {
            return Ok(());
        }
        let (data_directory, epoch) = (self.data_directory.clone(), self.lease.epoch());
        spawn_blocking(move || {
            numbers
                .into_iter()
                .try_for_each(|number| search::remove_epochs_before(&data_directory, number, epoch))
        })
        .await??;
        Ok(())
    }
}
