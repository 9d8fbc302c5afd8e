//! The state of every read model, for operators.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

/// What a generation is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Answers queries and follows the log.
    Live,
    /// Is being built from the log.
    Building,
    /// The one before, kept up to date to go back to.
    Previous,
    /// Answers queries, and was told not to follow the log.
    Paused,
    /// Cannot follow the log; see `failure`.
    Failed,
}

/// A generation of a read model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionStatus {
    /// The registered name, as `search@<directory id>` for an index.
    pub name: String,
    /// `null` for one that was never built.
    pub generation: Option<i32>,
    pub state: State,
    /// Who holds the lease; `null` where nobody does.
    pub owner: Option<String>,
    pub position: i64,
    pub lag_events: i64,
    /// Age of the oldest event that is not in it.
    pub lag_seconds: f64,
    /// Streams that wait for an operator.
    pub parked: i64,
    /// Why it stopped, in one line that says what to run.
    pub failure: Option<String>,
}

#[derive(FromRow)]
struct Row {
    name: String,
    generation: Option<i32>,
    role: String,
    paused: bool,
    failure: Option<String>,
    owner: Option<String>,
    position: i64,
    lag_events: i64,
    lag_seconds: f64,
    parked: i64,
}

/// Every generation of every registered read model, by name and generation.
pub async fn status_of_all(pool: &PgPool) -> sqlx::Result<Vec<ProjectionStatus>> {
    let rows: Vec<Row> = sqlx::query_as(
        "with generations as (
           select p.name, g.generation, g.role, p.paused, p.failure
             from projections p
            cross join lateral (values (p.live, 'live'), (p.previous, 'previous'), (p.building, 'building'))
                  as g (generation, role)
            where g.generation is not null
               or (g.role = 'live' and p.building is null and p.previous is null)
         ), head as (
           select coalesce((select position from events order by position desc limit 1), 0) as position
         )
         select g.name, g.generation, g.role, g.paused, g.failure,
                (select l.holder from leases l
                  where l.name = g.name and l.expires_at > clock_timestamp()) as owner,
                coalesce(c.position, 0) as position,
                greatest(h.position - coalesce(c.position, 0), 0) as lag_events,
                greatest(coalesce(extract(epoch from clock_timestamp() - (
                  select e.recorded_at from events e where e.position = coalesce(c.position, 0) + 1
                )), 0), 0)::float8 as lag_seconds,
                (select count(*) from (
                   select distinct d.stream_type, d.stream_id from dead_letters d
                    where d.state <> 'discarded' and d.log = $1
                      and d.consumer = g.name || case g.role when 'building' then '#rebuild' else '' end
                 ) blocked) as parked
           from generations g
          cross join head h
           left join checkpoints c on c.consumer = g.name and c.generation = g.generation and c.log = $1
          order by g.name, g.generation",
    )
    .bind(read_models::LOG)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Row::into_status).collect())
}

impl Row {
    fn into_status(self) -> ProjectionStatus {
        let state = match self.role.as_str() {
            "building" => State::Building,
            "previous" => State::Previous,
            _ if self.failure.is_some() => State::Failed,
            _ if self.paused => State::Paused,
            // Until the first generation is there, nothing answers.
            _ if self.generation.is_none() => State::Building,
            _ => State::Live,
        };
        ProjectionStatus {
            name: self.name,
            generation: self.generation,
            state,
            owner: self.owner,
            position: self.position,
            lag_events: self.lag_events,
            lag_seconds: self.lag_seconds,
            parked: self.parked,
            failure: self.failure,
        }
    }
}
