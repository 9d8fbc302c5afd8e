//! What only the writer of a read model does: whoever holds its lease takes a request up within a second; where nobody
//! does, the verb takes the lease and does the work itself.

use std::time::Duration;

use anyhow::bail;
use eventstore::{EventStore, FeedSource, Feeds, Lease};
use projections::{ReadModel, Worker};
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::installation;
use crate::roles::holder;

/// Between two looks at what was asked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What it takes to have requests carried out.
pub(super) struct Requests<'a> {
    config: &'a Config,
    pool: &'a PgPool,
    shutdown: CancellationToken,
    /// Opened only where the verb itself has to do the work.
    store: OnceCell<EventStore>,
}

impl<'a> Requests<'a> {
    pub(super) fn new(
        config: &'a Config,
        pool: &'a PgPool,
        shutdown: CancellationToken,
    ) -> Requests<'a> {
        Requests {
            config,
            pool,
            shutdown,
            store: OnceCell::new(),
        }
    }

    /// Waits until what was asked of a read model `is_done`, and does it where nobody else can.
    ///
    /// # Errors
    /// When the program is asked to end before that, or the work cannot be done here.
    pub(super) async fn carry_out(
        &self,
        consumer: &str,
        mut is_done: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        while !is_done().await? {
            if self.shutdown.is_cancelled() {
                bail!("interrupted; the request stands, the next writer of {consumer} takes it up");
            }
            let lease = Lease::read(self.pool, consumer).await?;
            let is_held = lease.is_some_and(|lease| lease.held);
            if !is_held {
                self.work(consumer).await?;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Ends what was opened for the work.
    pub(super) async fn close(self) {
        if let Some(store) = self.store.get() {
            store.close().await;
        }
    }

    async fn work(&self, consumer: &str) -> anyhow::Result<()> {
        let model = ReadModel::of_consumer(consumer)?;
        let directory = &self.config.data_dir;
        if model.consumer(directory)? != consumer {
            bail!(
                "nobody writes {consumer}, and it does not belong to the data directory {}",
                directory.display()
            );
        }
        // Straight from the log: a verb needs no brokers.
        let feeds = Feeds::new(self.store().await?, FeedSource::Store);
        let worker = Worker::new(feeds, model, directory, holder())?;
        worker.run_until_idle(&self.shutdown).await?;
        Ok(())
    }

    async fn store(&self) -> anyhow::Result<EventStore> {
        let open = async || {
            let keys = installation::check(self.config, self.pool).await?;
            installation::open_store(self.config, self.pool, &keys).await
        };
        self.store.get_or_try_init(open).await.cloned()
    }
}

/// Who asks: the login name of this process's user.
pub(super) fn who() -> String {
    let uid = nix::unistd::getuid();
    let name = match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => uid.to_string(),
    };
    format!("{name}, command line")
}
