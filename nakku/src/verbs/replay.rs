//! `nakku replay`.

mod progress;

use anyhow::Context;
use eventstore::Lease;
use futures::future::try_join_all;
use projections::ReadModel;
use read_models::generations;
use read_models::replays::{self, Kind, Replay, Request, State};
use read_models::search::DirectoryId;
use sqlx::PgPool;
use uuid::Uuid;

use self::progress::Progress;
use super::requests::{Requests, who};
use super::{Ended, with_database};
use crate::cli;
use crate::cli::Output;
use crate::config::Config;
use crate::output::{self, Listed, or_dash};
use crate::roles::models;

impl Listed for Replay {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("projection", false),
        ("state", false),
        ("generation", true),
        ("position", true),
        ("events/s", true),
        ("rows", true),
        ("differences", true),
        ("error", false),
    ];

    fn cells(&self) -> Vec<String> {
        let generation = self.generation.map(|generation| generation.to_string());
        let compared = self.differences.as_ref();
        let rows = compared.map(|differences| differences.rebuilt_rows.to_string());
        let count = compared.map(|differences| differences.count.to_string());
        vec![
            self.projection.clone(),
            self.state.as_str().to_owned(),
            or_dash(generation.as_deref()),
            self.position.to_string(),
            format!("{:.0}", self.rate),
            or_dash(rows.as_deref()),
            or_dash(count.as_deref()),
            or_dash(self.error.as_deref()),
        ]
    }
}

pub(super) async fn run(config: &Config, arguments: cli::Replay) -> anyhow::Result<Ended> {
    let models = models(&arguments.names)?;
    with_database(config, async |database, shutdown| {
        let pool = database.pool();
        let mut targets = Vec::new();
        for model in models {
            targets.extend(consumers(config, pool, model).await?);
        }
        let requests = Requests::new(config, pool, shutdown);
        let mut asked = Vec::new();
        for projection in &targets {
            finish_what_is_left(pool, &requests, projection).await?;
            asked.push(ask(pool, projection, &arguments).await?);
        }
        let ended = carry_out(pool, requests, &asked).await?;
        print(&ended, arguments.output)?;
        let failed = ended.iter().any(|replay| replay.state == State::Failed);
        Ok(if failed { Ended::Badly } else { Ended::Well })
    })
    .await
}

/// Whose rows a model's name means. An index is there once a data directory: all that somebody writes, and this
/// directory's own.
pub(super) async fn consumers(
    config: &Config,
    pool: &PgPool,
    model: ReadModel,
) -> anyhow::Result<Vec<String>> {
    let mut consumers = Vec::new();
    if model == ReadModel::Search {
        consumers = written_indexes(pool).await?;
        let own = DirectoryId::read(&config.data_dir)?.map(|id| id.consumer());
        consumers.extend(own.filter(|own| !consumers.contains(own)));
    }
    if consumers.is_empty() {
        consumers.push(model.consumer(&config.data_dir)?);
    }
    for consumer in &consumers {
        generations::ensure(pool, consumer).await?;
    }
    Ok(consumers)
}

/// The indexes whose leases are held.
async fn written_indexes(pool: &PgPool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select p.name from projections p join leases l on l.name = p.name
         where p.name like 'search@%' and l.expires_at > clock_timestamp() order by p.name",
    )
    .fetch_all(pool)
    .await
}

/// A replay that nobody is at was left by one who was killed: it would be in the way of every other for as long as no
/// writer runs.
async fn finish_what_is_left(
    pool: &PgPool,
    requests: &Requests<'_>,
    projection: &str,
) -> anyhow::Result<()> {
    let Some(left) = replays::unfinished(pool, projection).await? else {
        return Ok(());
    };
    let lease = Lease::read(pool, projection).await?;
    if lease.is_some_and(|lease| lease.held) {
        return Ok(());
    }
    let id = left.id;
    tracing::warn!(projection, %id, "finishing a replay that was broken off");
    let has_ended = async || Ok(read(pool, id).await?.state.has_ended());
    requests.carry_out(projection, has_ended).await
}

async fn ask(pool: &PgPool, projection: &str, arguments: &cli::Replay) -> anyhow::Result<Uuid> {
    let request = Request {
        id: Uuid::now_v7(),
        projection,
        kind: if arguments.rollback {
            Kind::Rollback
        } else {
            Kind::Replay
        },
        compare_only: arguments.compare_only,
        require_equal: arguments.require_equal,
        requested_by: &who(),
    };
    Ok(replays::request(pool, &request).await?.replay.id)
}

/// Follows what was asked for to its end.
async fn carry_out(
    pool: &PgPool,
    requests: Requests<'_>,
    asked: &[Uuid],
) -> anyhow::Result<Vec<Replay>> {
    let progress = Progress::new();
    let follow = async |id: Uuid| {
        let mut replay = read(pool, id).await?;
        let bar = progress.bar(&replay);
        let consumer = replay.projection.clone();
        let look = async || {
            replay = read(pool, id).await?;
            bar.show(&replay);
            Ok(replay.state.has_ended())
        };
        requests.carry_out(&consumer, look).await?;
        bar.finish();
        read(pool, id).await
    };
    let ended = try_join_all(asked.iter().copied().map(follow)).await;
    requests.close().await;
    ended
}

async fn read(pool: &PgPool, id: Uuid) -> anyhow::Result<Replay> {
    replays::read(pool, id)
        .await?
        .with_context(|| format!("replay {id} is gone"))
}

/// The table, and below it what differs.
fn print(replays: &[Replay], format: Output) -> anyhow::Result<()> {
    output::list(format, replays)?;
    if format == Output::Json {
        return Ok(());
    }
    for replay in replays {
        for difference in replay.differences.iter().flat_map(|found| &found.first) {
            output::line(&format!("{} {difference}", replay.projection))?;
        }
    }
    Ok(())
}
