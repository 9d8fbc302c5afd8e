//! How the read models do: a row for each generation that is at rest.

use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;

use crate::{LOG, REBUILD_SUFFIX};

/// What a generation is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = ProjectionState)]
pub enum State {
    /// Answers queries.
    Live,
    /// Is being made from the log.
    Building,
    /// Answered before the live one, and follows the log to be gone back to.
    Previous,
    /// Answers queries, but does not follow the log: an operator stopped it.
    Paused,
    /// Answers queries, but does not follow the log: see `failure`.
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Building => "building",
            State::Previous => "previous",
            State::Paused => "paused",
            State::Failed => "failed",
        }
    }
}

impl TryFrom<String> for State {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        [
            State::Live,
            State::Building,
            State::Previous,
            State::Paused,
            State::Failed,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| format!("unknown state of a projection `{text}`"))
    }
}

/// One generation of a read model, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
#[schema(as = Projection)]
pub struct Status {
    /// The registered name, as `search@<directory id>`.
    pub name: String,
    /// `null` until one has been begun.
    pub generation: Option<i32>,
    #[sqlx(try_from = "String")]
    pub state: State,
    /// Who holds the read model's lease; `null` where nobody does.
    pub owner: Option<String>,
    pub position: i64,
    /// Events of the log that are not in yet.
    pub lag_events: i64,
    /// Age of the oldest of them, by the database's clock; 0 where there is none.
    pub lag_seconds: f64,
    /// Streams that wait behind an event that could not be handled.
    pub parked: i64,
    /// Why it stopped, in one line that says what to run; `null` while it works.
    pub failure: Option<String>,
}

/// Every generation of every registered read model, or of the one named: by name, the one that
/// answers queries first. A registered read model without any generation has a row too.
pub async fn list(executor: impl PgExecutor<'_>, name: Option<&str>) -> sqlx::Result<Vec<Status>> {
    sqlx::query_as(
        "with head as (
           select coalesce((select position from events order by position desc limit 1), 0) as position
         ), at as (
           select p.name, p.failure, p.paused, g.generation, g.rank,
                  coalesce(c.position, 0) as position
             from projections p
             left join lateral (
               values (0, p.live), (1, p.building), (2, p.previous)
             ) g (rank, generation) on g.generation is not null
             left join checkpoints c
               on c.consumer = p.name and c.generation = g.generation and c.log = $2
            where $1::text is null or p.name = $1
         )
         select at.name, at.generation, at.position, l.holder as owner,
                case when at.rank = 1 then 'building'
                     when at.rank = 2 then 'previous'
                     when at.failure is not null then 'failed'
                     when at.paused then 'paused'
                     when at.rank = 0 then 'live'
                     else 'building' end as state,
                case when at.rank = 1 or at.rank = 2 then null else at.failure end as failure,
                greatest(head.position - at.position, 0) as lag_events,
                greatest(coalesce(extract(epoch from clock_timestamp() - (
                  select recorded_at from events e where e.position = at.position + 1
                )), 0), 0)::float8 as lag_seconds,
                (select count(distinct (d.stream_type, d.stream_id)) from dead_letters d
                  where d.log = $2 and d.state <> 'discarded'
                    and d.consumer = at.name || case at.rank when 1 then $3 else '' end) as parked
           from at cross join head
           left join leases l on l.name = at.name and l.expires_at > clock_timestamp()
          order by at.name, at.rank",
    )
    .bind(name)
    .bind(LOG)
    .bind(REBUILD_SUFFIX)
    .fetch_all(executor)
    .await
}
