//! `nakku import`.

mod arrival;
pub(super) mod input;
pub(super) mod progress;

use std::time::{Duration, Instant};

use anyhow::bail;
use command_api::products::{self, Import, Origin, Stopped, Summary};
use eventstore::EventStore;
use serde::Serialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::input::{Input, NoMore};
use self::progress::Progress;
use super::{Ended, with_database};
use crate::cli;
use crate::cli::Output;
use crate::config::Config;
use crate::output::{self, Listed};
use crate::{installation, one_line};

/// The line that an import ends with.
#[derive(Debug, Serialize)]
struct Imported {
    accepted: u64,
    #[serde(flatten)]
    summary: Summary,
    /// Of reading and storing, without the read models.
    seconds: f64,
    lines_per_second: f64,
}

impl Listed for Imported {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("created", true),
        ("updated", true),
        ("unchanged", true),
        ("rejected", true),
        ("seconds", true),
        ("lines/s", true),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.summary.created.to_string(),
            self.summary.updated.to_string(),
            self.summary.unchanged.to_string(),
            self.summary.rejected.to_string(),
            format!("{:.1}", self.seconds),
            format!("{:.0}", self.lines_per_second),
        ]
    }
}

impl Imported {
    fn new(summary: Summary, took: Duration) -> Imported {
        let seconds = took.as_secs_f64();
        let lines = summary.accepted() + summary.rejected;
        Imported {
            accepted: summary.accepted(),
            summary,
            seconds,
            lines_per_second: progress::rate(lines, took),
        }
    }
}

pub(super) async fn run(config: &Config, arguments: cli::Import) -> anyhow::Result<Ended> {
    // Before anything is started for it.
    let input = Input::open(&arguments.file)?;
    with_database(config, async |database, shutdown| {
        let pool = database.pool();
        let keys = installation::check(config, pool).await?;
        let store = installation::open_store(config, pool, &keys).await?;
        let imported = import(&store, input, arguments.output, &shutdown).await;
        store.close().await;
        let summary = imported?;
        finish(config, pool, &summary, shutdown).await?;
        Ok(if summary.rejected == 0 {
            Ended::Well
        } else {
            Ended::Badly
        })
    })
    .await
}

/// Reads the catalogue to its end, or to where it breaks off, and prints what came of it.
async fn import(
    store: &EventStore,
    input: Input,
    format: Output,
    shutdown: &CancellationToken,
) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let mut progress = Progress::new(&input, format);
    let import = Import {
        store: store.clone(),
        origin: Origin {
            correlation_id: Some(Uuid::now_v7().to_string()),
            ..Origin::default()
        },
    };
    let source = input.into_stream(shutdown.clone());
    let products::Ended { summary, stopped } = import.run(source, &mut progress).await;
    progress.finish();
    output::list(format, &[Imported::new(summary, began.elapsed())])?;
    if let Some(stopped) = stopped {
        return Err(broken_off(stopped, &summary));
    }
    Ok(summary)
}

fn broken_off(stopped: Stopped<NoMore>, summary: &Summary) -> anyhow::Error {
    let so_far = so_far(summary);
    match stopped {
        Stopped::Source(NoMore::Interrupted) => anyhow::anyhow!("interrupted: {so_far}"),
        Stopped::Source(NoMore::Unreadable { name, source }) => {
            anyhow::anyhow!("cannot read {name}: {source}: {so_far}")
        }
        Stopped::NotUnpacked(error) => anyhow::anyhow!("{error}: {so_far}"),
        Stopped::Overloaded => anyhow::anyhow!("the database takes no commands: {so_far}"),
        Stopped::Closed => anyhow::anyhow!("the log is closed: {so_far}"),
    }
}

fn so_far(summary: &Summary) -> String {
    format!(
        "{} lines are accepted and stay; the same import again goes on with the rest",
        summary.accepted()
    )
}

/// Waits until what was accepted can be found.
async fn finish(
    config: &Config,
    pool: &PgPool,
    summary: &Summary,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(position) = summary.position else {
        return Ok(());
    };
    let waited = arrival::wait(config, pool, position, shutdown.clone()).await;
    if shutdown.is_cancelled() && waited.is_err() {
        bail!("interrupted while the read models follow: all of the catalogue is in the log");
    }
    waited.map_err(|error| {
        let why = one_line::one_line(&error);
        anyhow::anyhow!("all of the catalogue is in the log, but not yet in the read models: {why}")
    })
}
