//! All roles in one process, with everything embedded that is not set.

use std::sync::Arc;

use anyhow::Context;
use http_server::Server;
use read_models::search::SearchReader;

use super::part::{Part, Resources};
use super::serving::Serving;
use super::{admin_api, command_api, project, query_api, react, ready, relay};
use crate::config::Config;
use crate::database::{Database, Use};
use crate::{first_start, installation, output, schema, shutdown, telemetry};

/// The role's name where a process has one.
const NAME: &str = "up";

/// Runs all roles until it is asked to end.
///
/// # Errors
/// One line that names what is wrong.
pub async fn run(config: Config) -> anyhow::Result<()> {
    telemetry::install_metrics();
    command_api::check(&config)?;
    react::check(&[], &config)?;
    let shutdown = shutdown::on_signals()?;
    let server = Server::bind(config.up_address()).await?;
    let opening = Database::open(&config, Use::Own);
    let Some(database) = shutdown.run_until_cancelled(opening).await else {
        return Ok(());
    };
    let database = database?;
    let started = shutdown.run_until_cancelled(start(config, &database)).await;
    let result = match started {
        None => Ok(()),
        Some(Err(error)) => Err(error),
        Some(Ok(Started {
            resources,
            part,
            search,
        })) => {
            let serving = Serving {
                role: NAME,
                server,
                config: Arc::clone(&resources.config),
                shutdown,
                stop: resources.stop.clone(),
            };
            let served = part.served_by_gateway(&resources);
            let prepare = prepare(&resources, &search);
            let result = serving.run(served, prepare, addresses).await;
            resources.close().await;
            result
        }
    };
    let closed = database.close().await;
    result.and(closed)
}

/// All roles, not yet serving.
struct Started {
    resources: Resources,
    part: Part,
    /// The index as searches of this process see it; its writer, in this process too, wakes it.
    search: SearchReader,
}

/// Everything up to the first request: schema, topics, administrator, parts.
async fn start(config: Config, database: &Database) -> anyhow::Result<Started> {
    let pool = database.pool();
    schema::migrate(pool).await?;
    let keys = installation::check(&config, pool).await?;
    let resources = Resources::new(config, pool.clone(), keys);
    if let Some(kafka) = &resources.kafka {
        eventstore::ensure_topics(kafka)
            .await
            .with_context(|| format!("cannot use Kafka at {}", kafka.brokers))?;
    }
    let store = resources.store().await?;
    if let Some(administrator) = first_start::administrator(&resources.config, &store).await? {
        output::announce(&administrator.to_string());
    }
    let (query_part, query_api) = query_api::part(&resources)?;
    let search = query_api.search_reader().clone();
    let mut parts = vec![
        command_api::part(&resources).await?,
        query_part,
        admin_api::part(&resources).await?,
        project::part(&resources, &[], Some(search.clone())).await?,
        react::part(&resources, &[], None).await?,
    ];
    if let Some(kafka) = resources.kafka.clone() {
        parts.push(relay::part_beside(&resources, kafka).await?);
    }
    let part = parts.into_iter().fold(Part::default(), Part::and);
    Ok(Started {
        resources,
        part,
        search,
    })
}

/// The shop's first goods, and then the read models: ready means that what was there before the first request is found.
async fn prepare(resources: &Resources, search: &SearchReader) -> anyhow::Result<()> {
    let store = resources.store().await?;
    if resources.config.seed {
        first_start::demo_catalogue(&store)
            .await
            .context("the demo catalogue was not seeded")?;
    }
    let head = store.read_head().await?;
    ready::read_models_at(&resources.pool, search, head.position).await
}

fn addresses(url: &str) -> Vec<String> {
    vec![
        format!("api    {url}/api/v1"),
        format!("docs   {url}/docs"),
        format!("health {url}/health/ready"),
    ]
}
