//! What the figures were measured on.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use sqlx::PgPool;

use super::engine::Engine;
use crate::cli::Output;
use crate::output;

/// Of one page of the log; what a commit costs at least.
const SYNC_BYTES: usize = 8_192;
const SYNCS: usize = 21;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    postgres: String,
    /// Where its files are, as far as that is this program's choice.
    engine: String,
    fsync: String,
    synchronous_commit: String,
    /// Of 8 KiB to a file beside the engine's own; unknown for a server of somebody else's.
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_milliseconds: Option<f64>,
    build: &'static str,
}

impl Machine {
    pub(super) async fn look(engine: &Engine) -> anyhow::Result<Self> {
        let (description, directory) = engine.place();
        let sync = match directory {
            Some(directory) => Some(sync(directory).context("measure a synced write")?),
            None => None,
        };
        let pool = engine.server();
        Ok(Self {
            cores: available_parallelism().map_or(1, usize::from),
            postgres: setting(pool, "server_version").await?,
            engine: description,
            fsync: setting(pool, "fsync").await?,
            synchronous_commit: setting(pool, "synchronous_commit").await?,
            sync_milliseconds: sync.map(|took| took.as_secs_f64() * 1_000.0),
            build: if cfg!(debug_assertions) {
                "dev"
            } else {
                "release"
            },
        })
    }

    /// Before the figures, so that whoever waits knows what he waits for.
    pub(super) fn print(&self, format: Output) -> anyhow::Result<()> {
        if self.build == "dev" {
            tracing::warn!("this is a dev build: its figures say little, build with --release");
        }
        if self.fsync != "on" {
            tracing::warn!("the server runs with fsync off: nothing that it commits is durable");
        }
        match format {
            Output::Json => output::json(self)?,
            Output::Table => {
                let sync = self
                    .sync_milliseconds
                    .map(|took| format!(", a synced write of 8 KiB takes {took:.2} ms"));
                output::line(&format!(
                    "{} cores, PostgreSQL {} ({}), fsync {}, synchronous_commit {}{}, {} build",
                    self.cores,
                    self.postgres,
                    self.engine,
                    self.fsync,
                    self.synchronous_commit,
                    sync.unwrap_or_default(),
                    self.build
                ))?;
            }
        }
        Ok(())
    }
}

async fn setting(pool: &PgPool, name: &str) -> sqlx::Result<String> {
    sqlx::query_scalar("select current_setting($1)")
        .bind(name)
        .fetch_one(pool)
        .await
}

/// The median of some synced writes over the same bytes, as the server's log writes them.
fn sync(directory: &Path) -> std::io::Result<Duration> {
    let path = directory.join("synced");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let mut taken = Vec::new();
    for _ in 0..SYNCS {
        let began = Instant::now();
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&[0; SYNC_BYTES])?;
        file.sync_data()?;
        taken.push(began.elapsed());
    }
    std::fs::remove_file(path)?;
    taken.sort();
    Ok(taken[SYNCS / 2])
}
