//! Rebuilds and rollbacks that were asked for: the table `replays`.
//!
//! Asking is a row; the holder of the read model's lease carries it out and writes its progress
//! into it. One at a time a read model: the next is refused until the last has ended.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{Differences, generations};

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ReplayKind)]
pub enum Kind {
    /// A new generation from the log.
    Replay,
    /// Back to the generation before.
    Rollback,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Replay => "replay",
            Kind::Rollback => "rollback",
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "replay" => Ok(Kind::Replay),
            "rollback" => Ok(Kind::Rollback),
            _ => Err(format!("unknown kind of replay `{text}`")),
        }
    }
}

/// How far it has come. The last four are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ReplayState)]
pub enum State {
    /// Nobody has taken it up yet.
    Requested,
    Running,
    Comparing,
    /// The new generation answers queries.
    Switched,
    /// Compared, and not to be switched.
    Compared,
    Failed,
    RolledBack,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Requested => "requested",
            State::Running => "running",
            State::Comparing => "comparing",
            State::Switched => "switched",
            State::Compared => "compared",
            State::Failed => "failed",
            State::RolledBack => "rolled-back",
        }
    }

    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        match self {
            State::Requested | State::Running | State::Comparing => false,
            State::Switched | State::Compared | State::Failed | State::RolledBack => true,
        }
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        [
            State::Requested,
            State::Running,
            State::Comparing,
            State::Switched,
            State::Compared,
            State::Failed,
            State::RolledBack,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| format!("unknown state of a replay `{text}`"))
    }
}

/// A rebuild or a rollback, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Replay {
    pub id: Uuid,
    /// The registered name, as `search@<directory id>`.
    pub projection: String,
    #[sqlx(try_from = "String")]
    pub kind: Kind,
    /// Report the differences and drop the new generation.
    pub compare_only: bool,
    /// Differences are an error: no switch.
    pub require_equal: bool,
    #[sqlx(try_from = "String")]
    pub state: State,
    /// The generation that is made or gone back to; `null` until it is taken up.
    pub generation: Option<i32>,
    pub position: i64,
    /// Where it is going; moves on with the log.
    pub target: i64,
    /// Events per second.
    pub rate: f64,
    /// `null` where there is nothing to estimate from.
    pub eta_seconds: Option<f64>,
    /// `null` until compared.
    #[sqlx(json(nullable))]
    pub differences: Option<Differences>,
    /// Why it failed; `null` where it did not.
    pub error: Option<String>,
    pub requested_by: String,
    pub requested_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "id, projection, kind, compare_only, require_equal, state, generation, \
     position, target, rate, differences, error, requested_by, requested_at, finished_at, \
     case when state = 'running' and rate > 0 \
          then greatest(target - position, 0) / rate end as eta_seconds";

/// A rebuild or a rollback to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Drawn by whoever asks: asking again with the same one is the same request.
    pub id: Uuid,
    /// The registered name.
    pub projection: &'a str,
    pub kind: Kind,
    pub compare_only: bool,
    pub require_equal: bool,
    /// Who asks.
    pub requested_by: &'a str,
}

/// A request that stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Requested {
    pub replay: Replay,
    /// Whether it was asked for before with the same id.
    pub repeated: bool,
}

/// Why nothing was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("projection {projection} is not registered")]
    Unknown { projection: String },
    #[error("projection {projection} is being replayed already")]
    InProgress { projection: String },
    #[error("replay {id} is another request")]
    IdReused { id: Uuid },
    #[error("database error")]
    Database(#[from] sqlx::Error),
}

/// Asks for a rebuild or a rollback: the holder of the read model's lease takes it up.
pub async fn request(pool: &PgPool, request: &Request<'_>) -> Result<Requested, RequestError> {
    let Request { id, projection, .. } = *request;
    let inserted: Option<Replay> = sqlx::query_as(&format!(
        "insert into replays (id, projection, kind, compare_only, require_equal, requested_by)
         select $1, name, $3, $4, $5, $6 from projections where name = $2
         on conflict do nothing
         returning {COLUMNS}"
    ))
    .bind(id)
    .bind(projection)
    .bind(request.kind.as_str())
    .bind(request.compare_only)
    .bind(request.require_equal)
    .bind(request.requested_by)
    .fetch_optional(pool)
    .await?;
    if let Some(replay) = inserted {
        return Ok(Requested {
            replay,
            repeated: false,
        });
    }
    if let Some(replay) = read(pool, id).await? {
        let same = replay.projection == projection
            && replay.kind == request.kind
            && replay.compare_only == request.compare_only
            && replay.require_equal == request.require_equal;
        return if same {
            Ok(Requested {
                replay,
                repeated: true,
            })
        } else {
            Err(RequestError::IdReused { id })
        };
    }
    let projection = projection.to_owned();
    match generations::read(pool, &projection).await? {
        None => Err(RequestError::Unknown { projection }),
        Some(_) => Err(RequestError::InProgress { projection }),
    }
}

/// One rebuild or rollback.
pub async fn read(executor: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as(&format!("select {COLUMNS} from replays where id = $1"))
        .bind(id)
        .fetch_optional(executor)
        .await
}

/// What a read model has to do or is doing, if anything.
pub async fn unfinished(
    executor: impl PgExecutor<'_>,
    projection: &str,
) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as(&format!(
        "select {COLUMNS} from replays
          where projection = $1 and state in ('requested', 'running', 'comparing')"
    ))
    .bind(projection)
    .fetch_optional(executor)
    .await
}

/// What the read models were asked, or one of them, whether or not it has ended: the newest first.
pub async fn list(
    executor: impl PgExecutor<'_>,
    projection: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Replay>> {
    sqlx::query_as(&format!(
        "select {COLUMNS} from replays
          where $1::text is null or projection = $1
          order by requested_at desc, id desc limit $2"
    ))
    .bind(projection)
    .bind(limit)
    .fetch_all(executor)
    .await
}
