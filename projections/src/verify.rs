//! Checking the log's invariants, and every read model against a rebuild.

mod log;

use std::path::Path;
use std::time::Duration;

use eventstore::{EventStore, FeedSource};
use read_models::generations::{self, Registration};
use read_models::replays::{self, Kind, Replay, Request, RequestError, State};
use read_models::{Difference, Differences};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::ReadModel;
use crate::replay;
use crate::worker::Worker;

/// Who asks for the comparisons.
const REQUESTED_BY: &str = "verify";

/// How often a replay that is under way is tried to be followed by a comparison.
const UNDER_WAY_POLL: Duration = Duration::from_millis(500);

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What should not be, a line each; empty where all is well.
    pub findings: Vec<String>,
    /// What was checked, a line each.
    pub checked: Vec<String>,
    /// What could not be checked from here, and why.
    pub skipped: Vec<String>,
}

/// Checks that the log has no holes and that versions of streams are contiguous, then compares every read model
/// with a rebuild at one position. Where nobody holds a read model's lease, does that itself.
///
/// # Errors
/// Where something could not be checked that should be.
pub async fn verify(
    store: &EventStore,
    data_directory: &Path,
    holder: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<Report> {
    let mut report = Report::default();
    log::check(store.pool(), &mut report).await?;
    for registration in generations::list(store.pool()).await? {
        if registration.live.is_none() {
            report
                .skipped
                .push(format!("{}: it has not been built", registration.name));
            continue;
        }
        read_model(
            store,
            data_directory,
            holder,
            shutdown,
            &registration,
            &mut report,
        )
        .await?;
    }
    Ok(report)
}

async fn read_model(
    store: &EventStore,
    data_directory: &Path,
    holder: &str,
    shutdown: &CancellationToken,
    registration: &Registration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (pool, name) = (store.pool(), &registration.name);
    let Ok(model) = ReadModel::of_consumer(name) else {
        report
            .skipped
            .push(format!("{name}: this program does not know it"));
        return Ok(());
    };
    let worker = if model.consumer(data_directory)? == *name {
        let source = FeedSource::Store;
        let holder = holder.to_owned();
        Some(Worker::new(
            store.clone(),
            source,
            model,
            data_directory,
            holder,
        )?)
    } else {
        let lease = eventstore::Lease::read(pool, name).await?;
        if !lease.is_some_and(|lease| lease.held) {
            let reason = "it belongs to another data directory, and no worker runs there";
            report.skipped.push(format!("{name}: {reason}"));
            return Ok(());
        }
        None
    };
    let id = request_comparison(store, name, worker.as_ref(), shutdown).await?;
    let replay = replay::await_finished(pool, id, worker.as_ref(), shutdown, |_| {}).await?;
    judge(&replay, report);
    Ok(())
}

/// Waits for a replay that is under way, and carries out one that nobody is at: whoever was may have been killed.
async fn request_comparison(
    store: &EventStore,
    name: &str,
    worker: Option<&Worker>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Uuid> {
    let request = Request {
        id: Uuid::now_v7(),
        projection: name,
        kind: Kind::Replay,
        compare_only: true,
        require_equal: false,
        requested_by: REQUESTED_BY,
    };
    loop {
        match replays::request(store.pool(), &request).await {
            Err(RequestError::InProgress { .. }) if !shutdown.is_cancelled() => {
                if let Some(worker) = worker {
                    worker.run_until_idle(shutdown).await?;
                }
                tokio::time::sleep(UNDER_WAY_POLL).await;
            }
            requested => return Ok(requested?.replay.id),
        }
    }
}

fn judge(replay: &Replay, report: &mut Report) {
    let name = &replay.projection;
    if replay.state == State::Failed {
        let error = replay.error.as_deref().unwrap_or("unknown");
        report
            .findings
            .push(format!("{name}: it could not be compared: {error}"));
        return;
    }
    let differences = replay.differences.clone().unwrap_or_default();
    let Differences {
        live_rows,
        count,
        first,
        ..
    } = differences;
    let position = replay.target;
    report
        .checked
        .push(format!("{name}: {live_rows} rows at position {position}"));
    if count > 0 {
        report
            .findings
            .push(format!("{name}: {count} rows differ from a rebuild"));
        report
            .findings
            .extend(first.iter().map(|difference| describe(name, difference)));
    }
}

fn describe(name: &str, difference: &Difference) -> String {
    let shown = |row: &Option<serde_json::Value>| {
        row.as_ref()
            .map_or_else(|| "no row".to_owned(), ToString::to_string)
    };
    let Difference { key, live, rebuilt } = difference;
    format!(
        "{name}: {key} is {}, should be {}",
        shown(live),
        shown(rebuilt)
    )
}
