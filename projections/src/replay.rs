//! Asking for rebuilds and rollbacks, and how they go. A request is a row; whoever holds the read model's lease
//! carries it out.

use std::time::Duration;

use chrono::{DateTime, Utc};
use read_models::{Differences, generations};
use serde::Serialize;
use sqlx::types::Json;
use sqlx::{FromRow, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::{ReadModel, UnknownModel};
use crate::worker::Worker;

/// Between two looks at a replay's row, and between two tries for a lease that another holds.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// The constraint that lets a read model have one unfinished replay.
const UNFINISHED_INDEX: &str = "replays_unfinished";

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Build a generation from the log, compare it with the live one, switch.
    Replay {
        /// Do not switch.
        compare_only: bool,
        /// Switch only if there are no differences.
        require_equal: bool,
    },
    /// Switch back to the generation before.
    Rollback,
}

/// How far a replay has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for the holder of the lease.
    Requested,
    Running,
    Comparing,
    /// The new generation answers queries.
    Switched,
    /// Compared only; the new generation is gone.
    Compared,
    /// The live generation is as it was.
    Failed,
    RolledBack,
}

/// A replay, for operators.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    pub id: Uuid,
    /// The read model's registered name.
    pub projection: String,
    pub state: State,
    /// The generation that is built.
    pub generation: Option<i32>,
    pub position: i64,
    pub target: i64,
    /// Events a second, since it began.
    pub rate: f64,
    /// Seconds until the target at this rate; `null` while there is no rate.
    pub eta_seconds: Option<f64>,
    /// `null` where there was nothing to compare with, and until it is done.
    pub differences: Option<Differences>,
    /// Why it failed.
    pub error: Option<String>,
    pub requested_by: String,
    pub requested_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Replay {
    pub fn is_finished(&self) -> bool {
        match self.state {
            State::Requested | State::Running | State::Comparing => false,
            State::Switched | State::Compared | State::Failed | State::RolledBack => true,
        }
    }
}

/// Why a replay could not be asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    #[error("a replay of {projection} is under way ({})", .id.map_or_else(String::new, |id| id.to_string()))]
    UnderWay {
        projection: String,
        /// None where it ended just now.
        id: Option<Uuid>,
    },
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The registered names of a read model: an index has one for each data directory.
pub async fn consumers(pool: &PgPool, model: ReadModel) -> sqlx::Result<Vec<String>> {
    let registered = generations::list(pool).await?;
    let names = registered.into_iter().map(|registration| registration.name);
    Ok(names
        .filter(|name| ReadModel::of_consumer(name) == Ok(model))
        .collect())
}

/// Asks for a replay or a rollback of `consumer` (see [`ReadModel::consumer`]) and returns its id. The holder of
/// its lease takes it up within a second; where there is none, see [`Worker::run_until_idle`].
pub async fn request(
    pool: &PgPool,
    consumer: &str,
    kind: Kind,
    requested_by: &str,
) -> Result<Uuid, RequestError> {
    ReadModel::of_consumer(consumer)?;
    generations::ensure(pool, consumer).await?;
    let (name, compare_only, require_equal) = match kind {
        Kind::Replay {
            compare_only,
            require_equal,
        } => ("replay", compare_only, require_equal),
        Kind::Rollback => ("rollback", false, false),
    };
    let inserted = sqlx::query_scalar(
        "insert into replays (id, projection, kind, compare_only, require_equal, requested_by)
         values ($1, $2, $3, $4, $5, $6) returning id",
    )
    .bind(Uuid::now_v7())
    .bind(consumer)
    .bind(name)
    .bind(compare_only)
    .bind(require_equal)
    .bind(requested_by)
    .fetch_one(pool)
    .await;
    match inserted {
        Ok(id) => Ok(id),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some(UNFINISHED_INDEX) => {
            Err(RequestError::UnderWay {
                projection: consumer.to_owned(),
                id: unfinished(pool, consumer).await?,
            })
        }
        Err(error) => Err(error.into()),
    }
}

async fn unfinished(pool: &PgPool, consumer: &str) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "select id from replays
         where projection = $1 and state in ('requested', 'running', 'comparing')",
    )
    .bind(consumer)
    .fetch_optional(pool)
    .await
}

/// One replay; none where there is no such.
pub async fn status(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Replay>> {
    let row: Option<Row> = sqlx::query_as(&format!("select {COLUMNS} from replays where id = $1"))
        .bind(id)
        .fetch_optional(pool)
        .await?;
    row.map(Row::into_replay).transpose()
}

/// The newest replays, of one read model or of all.
pub async fn list(pool: &PgPool, consumer: Option<&str>, limit: i64) -> sqlx::Result<Vec<Replay>> {
    let rows: Vec<Row> = sqlx::query_as(&format!(
        "select {COLUMNS} from replays where $1::text is null or projection = $1
         order by requested_at desc, id desc limit $2"
    ))
    .bind(consumer)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Row::into_replay).collect()
}

/// Waits until a replay is finished, and tells how it goes a few times a second. Where nobody holds the lease,
/// `worker`, if there is one for this read model, does the work, also when its owner ends on the way.
///
/// # Errors
/// Where the worker cannot do it, or `shutdown` comes first: the request stays.
pub async fn await_finished(
    pool: &PgPool,
    id: Uuid,
    worker: Option<&Worker>,
    shutdown: &CancellationToken,
    mut progress: impl FnMut(&Replay),
) -> anyhow::Result<Replay> {
    let end = shutdown.child_token();
    let working = async {
        let Some(worker) = worker else {
            return std::future::pending().await;
        };
        while !end.is_cancelled() && !worker.run_until_idle(shutdown).await? {
            end.run_until_cancelled(tokio::time::sleep(LOOK_INTERVAL))
                .await;
        }
        anyhow::Ok(())
    };
    let looking = async {
        loop {
            let replay = status(pool, id).await?;
            let replay = replay.ok_or_else(|| anyhow::anyhow!("there is no replay {id}"))?;
            progress(&replay);
            if replay.is_finished() {
                return Ok(replay);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = shutdown.cancelled() => anyhow::bail!("replay {id} was not awaited"),
            }
        }
    };
    tokio::pin!(working, looking);
    tokio::select! {
        replay = &mut looking => {
            // A worker of ours finishes what it is at and releases the lease.
            end.cancel();
            if worker.is_some() {
                working.await?;
            }
            replay
        }
        worked = &mut working => {
            worked?;
            looking.await
        }
    }
}

const COLUMNS: &str = "id, projection, state, generation, position, target, rate, differences, \
     error, requested_by, requested_at, finished_at";

#[derive(FromRow)]
struct Row {
    id: Uuid,
    projection: String,
    state: String,
    generation: Option<i32>,
    position: i64,
    target: i64,
    rate: f64,
    differences: Option<Json<Differences>>,
    error: Option<String>,
    requested_by: String,
    requested_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl Row {
    // Positions are far below 2^53: exact as floats.
    #[expect(clippy::cast_precision_loss)]
    fn into_replay(self) -> sqlx::Result<Replay> {
        let state = match self.state.as_str() {
            "requested" => State::Requested,
            "running" => State::Running,
            "comparing" => State::Comparing,
            "switched" => State::Switched,
            "compared" => State::Compared,
            "failed" => State::Failed,
            "rolled-back" => State::RolledBack,
            other => {
                return Err(sqlx::Error::Decode(
                    format!("unknown replay state `{other}`").into(),
                ));
            }
        };
        let remaining = (self.target - self.position).max(0) as f64;
        Ok(Replay {
            id: self.id,
            projection: self.projection,
            state,
            generation: self.generation,
            position: self.position,
            target: self.target,
            rate: self.rate,
            eta_seconds: (self.rate > 0.0).then(|| remaining / self.rate),
            differences: self.differences.map(|Json(differences)| differences),
            error: self.error,
            requested_by: self.requested_by,
            requested_at: self.requested_at,
            finished_at: self.finished_at,
        })
    }
}
