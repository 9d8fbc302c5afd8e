//! One role in a process of its own.

use std::sync::Arc;

use http_server::Server;

use super::part::{Part, Resources};
use super::serving::Serving;
use super::{admin_api, command_api, project, query_api, react, relay};
use crate::config::{Config, ConfigError};
use crate::installation::Installation;
use crate::{shutdown, telemetry};

/// A role that runs alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    CommandApi,
    QueryApi,
    Relay {
        /// Publish again what is after this position.
        from: Option<i64>,
    },
    Project {
        /// The read models; all where none is named.
        names: Vec<String>,
    },
    React {
        /// The reactors; all where none is named.
        names: Vec<String>,
        /// Go on after this position.
        from: Option<i64>,
    },
    AdminApi,
}

impl Role {
    fn name(&self) -> &'static str {
        match self {
            Role::CommandApi => "command-api",
            Role::QueryApi => "query-api",
            Role::Relay { .. } => "relay",
            Role::Project { .. } => "project",
            Role::React { .. } => "react",
            Role::AdminApi => "admin-api",
        }
    }

    /// Where it listens unless it is told otherwise.
    fn port(&self) -> u16 {
        match self {
            Role::CommandApi => 8081,
            Role::QueryApi => 8082,
            Role::Relay { .. } => 8083,
            Role::Project { .. } => 8084,
            Role::React { .. } => 8085,
            Role::AdminApi => 8086,
        }
    }

    /// What can be said without starting anything.
    fn check(&self, config: &Config) -> anyhow::Result<()> {
        match self {
            Role::Relay { .. } if config.kafka_brokers.is_none() => {
                Err(ConfigError::Missing("kafka_brokers").into())
            }
            Role::Project { names } => project::models(names).map(|_| ()),
            Role::React { names, .. } => react::check(names, config),
            Role::CommandApi => command_api::check(config),
            Role::QueryApi | Role::Relay { .. } | Role::AdminApi => Ok(()),
        }
    }

    async fn part(&self, resources: &Resources) -> anyhow::Result<Part> {
        match self {
            Role::CommandApi => command_api::part_alone(resources).await,
            Role::QueryApi => Ok(query_api::part(resources)?.0),
            Role::Relay { from } => relay::part_alone(resources, *from).await,
            Role::Project { names } => project::part(resources, names, None).await,
            Role::React { names, from } => react::part(resources, names, *from).await,
            Role::AdminApi => admin_api::part(resources).await,
        }
    }
}

/// Runs a role until it is asked to end.
///
/// # Errors
/// One line: the port is taken, the database or its schema or the keys file is not as it must be, or the role's work cannot
/// go on.
pub async fn run(role: Role, config: Config) -> anyhow::Result<()> {
    telemetry::install_metrics();
    role.check(&config)?;
    let shutdown = shutdown::on_signals()?;
    let server = Server::bind(config.listen_or(role.port())).await?;
    let Some(installation) = shutdown
        .run_until_cancelled(Installation::open(&config))
        .await
    else {
        return Ok(());
    };
    let Installation { database, keys } = installation?;
    let resources = Resources::new(config, database.pool().clone(), keys);
    let result = match role.part(&resources).await {
        Ok(part) => {
            let serving = Serving {
                role: role.name(),
                server,
                config: Arc::clone(&resources.config),
                shutdown,
                stop: resources.stop.clone(),
            };
            let nothing = std::future::ready(Ok(()));
            serving
                .run(part.served(&resources), nothing, |_| Vec::new())
                .await
        }
        Err(error) => Err(error),
    };
    resources.close().await;
    let closed = database.close().await;
    result.and(closed)
}
