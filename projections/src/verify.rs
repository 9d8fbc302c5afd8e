//! Checking the log's invariants, and every read model against a rebuild.

mod log;

use std::path::Path;
use std::time::Duration;

use eventstore::{EventStore, FeedSource, Feeds, dead_letters};
use read_models::generations::{self, Registration};
use read_models::replays::{self, Kind, Replay, Request, RequestError, State};
use serde::Serialize;
use sqlx::PgPool;
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
    /// What should not be; empty where all is well.
    pub findings: Vec<Finding>,
    /// What was checked, a line each.
    pub checked: Vec<String>,
    /// What a read model does not show, though it equals a rebuild: streams that are parked, events that were discarded; a
    /// line each.
    pub left_out: Vec<String>,
    /// What could not be checked from here, and why.
    pub skipped: Vec<String>,
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The log, or a read model by its name in `projections`, with what is wrong.
    pub problem: String,
    /// Where, a line each; only the first ones if there are many.
    pub places: Vec<String>,
    /// How it is mended.
    pub mend: String,
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
        let feeds = Feeds::new(store.clone(), FeedSource::Store);
        let holder = holder.to_owned();
        Some(Worker::new(feeds, model, data_directory, holder)?)
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
    left_out(pool, name, report).await?;
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
        report.findings.push(Finding {
            problem: format!("{name}: it could not be compared"),
            places: vec![error.to_owned()],
            mend: "mend what the error names, and verify again".to_owned(),
        });
        return;
    }
    let differences = replay.differences.clone().unwrap_or_default();
    let (rows, count) = (differences.live_rows, differences.count);
    let position = replay.target;
    report
        .checked
        .push(format!("{name}: {rows} rows at position {position}"));
    if count > 0 {
        let model = read_models::model(name);
        report.findings.push(Finding {
            problem: format!("{name}: rows that differ from a rebuild: {count}"),
            places: differences.first.iter().map(ToString::to_string).collect(),
            mend: format!("`nakku replay {model}` puts the rebuild in its place"),
        });
    }
}

/// What the comparison cannot show, because a rebuild leaves it out as well.
async fn left_out(pool: &PgPool, name: &str, report: &mut Report) -> sqlx::Result<()> {
    let parked = dead_letters::count(pool, Some(name)).await?;
    if parked > 0 {
        report.left_out.push(format!(
            "{name}: parked streams: {parked}; `nakku dead-letters` shows why"
        ));
    }
    let discarded = dead_letters::skipped(pool, name).await?.len();
    if discarded > 0 {
        report.left_out.push(format!(
            "{name}: discarded events: {discarded}; `nakku dead-letters list --discarded` shows by whom"
        ));
    }
    Ok(())
}
