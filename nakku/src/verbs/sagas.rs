//! `nakku sagas`.

use admin_api::events::{self, Event};
use admin_api::sagas::{self as operators, RetryError, Saga};
use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use eventstore::{CommandContext, ExecuteError};
use projections::ReadModel;
use read_models::sagas::{self, SagaId, State, Timed};
use read_models::{positions, status};
use serde::Serialize;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::requests::Requests;
use super::{events as log, with_database};
use crate::cli::{self, Output, SagasAction};
use crate::config::Config;
use crate::installation;
use crate::output::{self, Listed, or_dash};

/// Read from the database at once.
const PAGE: i64 = 200;

/// Events of a saga that are shown with it; `nakku events --stream` has all.
const EVENTS_MAX: i64 = 1_000;

impl Listed for Saga {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("id", false),
        ("state", false),
        ("waiting for", false),
        ("attempts", true),
        ("timer", false),
        ("started", false),
        ("reason", false),
        ("error", false),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.state.as_str().to_owned(),
            or_dash(self.waiting_for.as_deref()),
            self.attempts.to_string(),
            or_dash(self.timer_at.map(time).as_deref()),
            time(self.started_at),
            or_dash(self.reason.as_deref()),
            or_dash(self.error.as_deref()),
        ]
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A saga with what it has decided.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    saga: Saga,
    events: Vec<Event>,
}

/// That a saga goes on.
#[derive(Serialize)]
struct Retried {
    id: String,
    version: i64,
    position: i64,
}

pub(super) async fn run(config: &Config, arguments: cli::Sagas) -> anyhow::Result<()> {
    let cli::Sagas {
        action,
        status,
        limit,
        output,
    } = arguments;
    with_database(config, async |database, shutdown| {
        let pool = database.pool();
        if action.is_some() && status.is_some() {
            bail!("--status is for the list");
        }
        match action {
            None => {
                let generation = current(config, pool, shutdown).await?;
                list(pool, generation, status, limit, output).await
            }
            Some(SagasAction::Show { id }) => {
                let generation = current(config, pool, shutdown).await?;
                show(pool, generation, id, output).await
            }
            Some(SagasAction::Retry { id }) => retry(config, pool, id, output).await,
        }
    })
    .await
}

/// The generation that answers, once it shows the log as it was when this was called. Where nobody keeps the read model
/// it is brought there; one that is paused or has failed is taken as it is.
async fn current(
    config: &Config,
    pool: &PgPool,
    shutdown: CancellationToken,
) -> anyhow::Result<i32> {
    let name = ReadModel::Sagas.name();
    let mut head = None;
    let has_come = async || {
        let generations = status::list(pool, Some(name)).await?;
        let Some(live) = generations.first() else {
            return Ok(false);
        };
        let why = match live.state {
            status::State::Live => {
                let head = *head.get_or_insert(live.position + live.lag_events);
                return Ok(live.position >= head);
            }
            status::State::Building | status::State::Previous => return Ok(false),
            status::State::Paused => "it is paused",
            status::State::Failed => live.failure.as_deref().unwrap_or("it stopped"),
        };
        let (position, lag) = (live.position, live.lag_events);
        tracing::warn!(
            position,
            lag,
            why,
            "the read model sagas does not show the newest"
        );
        Ok(true)
    };
    let requests = Requests::new(config, pool, shutdown);
    let come = requests.carry_out(name, has_come).await;
    requests.close().await;
    come?;
    let live = positions::await_position(pool, name, 0, Instant::now()).await?;
    Ok(live.generation)
}

async fn list(
    pool: &PgPool,
    generation: i32,
    state: Option<State>,
    limit: i64,
    format: Output,
) -> anyhow::Result<()> {
    let mut found: Vec<Timed> = Vec::new();
    loop {
        let wanted = limit - i64::try_from(found.len())?;
        let before = found.last().map(|last| last.saga.started_position);
        let page = PAGE.min(wanted);
        let page = sagas::list(pool, generation, state, before, page).await?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    let listed: Vec<Saga> = found.into_iter().map(Saga::from).collect();
    output::list(format, &listed)?;
    if format == Output::Table {
        let counted = sagas::count(pool, generation).await?;
        let count = |state: State| counted.get(&state).copied().unwrap_or(0);
        let counts = State::ALL.map(|state| format!("{} {}", count(state), state.as_str()));
        output::line(&format!("\n{}", counts.join(", ")))?;
    }
    Ok(())
}

async fn show(pool: &PgPool, generation: i32, id: SagaId, format: Output) -> anyhow::Result<()> {
    let found = sagas::by_id(pool, generation, id).await?;
    let saga: Saga = found
        .with_context(|| format!("there is no saga {id}"))?
        .into();
    let stream_id = id.order_id.to_string();
    let events = events::of_stream(pool, id.kind.as_str(), &stream_id, EVENTS_MAX).await?;
    match format {
        Output::Json => output::json(&Shown { saga, events })?,
        Output::Table => {
            output::list(format, &[saga])?;
            output::line("")?;
            for event in &events {
                output::line(&log::line(event))?;
            }
        }
    }
    Ok(())
}

/// Appended here; whoever runs the reactors takes it up.
async fn retry(config: &Config, pool: &PgPool, id: SagaId, format: Output) -> anyhow::Result<()> {
    let keys = installation::check(config, pool).await?;
    let store = installation::open_store(config, pool, &keys).await?;
    let retried =
        operators::retry(&store, config.patience(), id, CommandContext::new("retry")).await;
    store.close().await;
    let retried = match retried {
        Ok(executed) => Retried {
            id: id.to_string(),
            version: executed.version,
            position: executed.position,
        },
        Err(RetryError::Execute(ExecuteError::Refused { error, .. })) => bail!("{id}: {error}"),
        Err(error) => return Err(error.into()),
    };
    match format {
        Output::Json => output::json(&retried)?,
        Output::Table => {
            let position = retried.position;
            output::line(&format!("{id} goes on, at position {position}"))?;
        }
    }
    Ok(())
}
