//! The projection as a process: workers of read models, as `nakku project` runs them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use eventstore::{FeedSource, Feeds};
use faults::{At, Child, trade};
use projections::{ReadModel, Worker};
use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A few for each read model, as `nakku project` has them.
const CONNECTIONS_MAX: u32 = 10;
/// As in `nakku`.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);

/// What it is told.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    /// The database of the log.
    url: String,
    data_directory: PathBuf,
    /// Names of read models.
    models: Vec<String>,
    /// Names it in leases, and its connections.
    holder: String,
    /// Where it ends or freezes itself.
    at: Option<At>,
}

pub(crate) async fn run(told: Told) -> anyhow::Result<()> {
    let options = PgConnectOptions::from_str(&told.url)?.application_name(&told.holder);
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_MAX)
        .connect_lazy_with(options);
    let store = trade::open(pool).await?;
    if let Some(at) = told.at {
        at.arm();
    }
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        terminated.recv().await;
        stop.cancel();
    });
    let feeds = Feeds::new(store, FeedSource::Store);
    let mut workers = JoinSet::new();
    for model in &told.models {
        let (model, holder) = (ReadModel::from_str(model)?, told.holder.clone());
        let worker = Worker::new(feeds.clone(), model, &told.data_directory, holder)?;
        let shutdown = shutdown.clone();
        workers.spawn(async move { worker.run(shutdown).await });
    }
    Child::tell(&"ready");
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    Ok(())
}
