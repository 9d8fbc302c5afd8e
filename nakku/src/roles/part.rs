//! What a role is made of, and what it is made from.

use std::sync::Arc;

use axum::Router;
use eventstore::{EventStore, Feeds, KafkaSettings};
use http_server::health::Check;
use http_server::token::PublicKey;
use http_server::{Signer, Verifier, openapi};
use sqlx::PgPool;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use super::serving::{Door, Front, Served};
use super::workers::Worker;
use super::{checks, connections, documented};
use crate::config::Config;
use crate::installation;
use crate::keys_file::KeysFile;
use crate::topics;

/// A role's share of a process.
#[derive(Default)]
pub(super) struct Part {
    /// Its routes, in full.
    pub(super) routes: OpenApiRouter,
    /// What it depends on, beside what every role does.
    pub(super) checks: Vec<Check>,
    /// Whether it needs Kafka's brokers, where there are any.
    pub(super) needs_kafka: bool,
    /// What it does in the background.
    pub(super) workers: Vec<Worker>,
}

impl Part {
    /// Two roles in one process.
    pub(super) fn and(mut self, other: Part) -> Part {
        self.checks.extend(other.checks);
        self.workers.extend(other.workers);
        Part {
            routes: self.routes.merge(other.routes),
            needs_kafka: self.needs_kafka || other.needs_kafka,
            ..self
        }
    }
}

impl Part {
    /// What the process rests on: the database, Kafka where the part needs it, and what it says itself.
    fn dependencies(&self, resources: &Resources) -> Vec<Check> {
        let mut dependencies = vec![checks::postgres(resources.pool.clone())];
        let kafka = resources.kafka.clone().filter(|_| self.needs_kafka);
        dependencies.extend(kafka.map(checks::kafka));
        dependencies.extend(self.checks.iter().cloned());
        dependencies
    }

    /// A process that answers the part's routes itself.
    pub(super) fn served(self, resources: &Resources) -> Served {
        self.served_as(resources, Door::Internal, |routes| routes)
    }

    /// A process whose public door leads to the part's routes.
    pub(super) fn served_by_gateway(self, resources: &Resources) -> Served {
        self.served_as(resources, Door::Public, |routes| {
            gateway::router(&gateway::Upstreams::local(routes))
        })
    }

    fn served_as(
        self,
        resources: &Resources,
        door: Door,
        front: impl FnOnce(Router) -> Router,
    ) -> Served {
        let dependencies = self.dependencies(resources);
        let (routes, mut document) = openapi::split(self.routes);
        if !document.paths.paths.is_empty() {
            documented::describe(&mut document);
        }
        let pool = resources.pool.clone();
        let mut workers = self.workers;
        workers.push(Worker::new(
            "connections",
            async move |stop: CancellationToken| {
                stop.run_until_cancelled(connections::report(pool)).await;
                Ok(())
            },
        ));
        Served {
            front: Front {
                routes: front(routes),
                document,
                verifier: resources.verifier(),
                door,
            },
            dependencies,
            workers,
        }
    }
}

/// What the roles of a process share. Cheap to clone.
#[derive(Clone)]
pub(super) struct Resources {
    pub(super) config: Arc<Config>,
    pub(super) pool: PgPool,
    pub(super) keys: Arc<KeysFile>,
    pub(super) kafka: Option<KafkaSettings>,
    /// Names this process in leases.
    pub(super) holder: String,
    /// Asks the work in the background to end.
    pub(super) stop: CancellationToken,
    feeds: Arc<OnceCell<Feeds>>,
}

impl Resources {
    pub(super) fn new(config: Config, pool: PgPool, keys: KeysFile) -> Resources {
        Resources {
            kafka: topics::kafka_settings(&config),
            config: Arc::new(config),
            pool,
            keys: Arc::new(keys),
            holder: holder(),
            stop: CancellationToken::new(),
            feeds: Arc::default(),
        }
    }

    /// The log, opened once a process: appends then wake whoever follows it here at once.
    pub(super) async fn store(&self) -> anyhow::Result<EventStore> {
        Ok(self.feeds().await?.store().clone())
    }

    /// What follows the log shares one reading of it.
    pub(super) async fn feeds(&self) -> anyhow::Result<Feeds> {
        let open = async || {
            let store = installation::open_store(&self.config, &self.pool, &self.keys).await?;
            Ok(Feeds::new(store, topics::feed_source(&self.config)))
        };
        self.feeds.get_or_try_init(open).await.cloned()
    }

    /// Closes the log, if a role has opened it. The last thing: what workers finish, they still have to write down.
    pub(super) async fn close(&self) {
        if let Some(store) = self.feeds.get().map(Feeds::store) {
            store.close().await;
        }
    }

    pub(super) fn signer(&self) -> anyhow::Result<Signer> {
        let key = &self.keys.signing;
        Ok(Signer::new(key.kid.clone(), &key.pkcs8)?)
    }

    pub(super) fn verifier(&self) -> Verifier {
        let key = &self.keys.signing;
        Verifier::new([PublicKey {
            kid: key.kid.clone(),
            bytes: key.public,
        }])
    }
}

/// Machine and process: what an operator looks for when a lease is held.
pub(crate) fn holder() -> String {
    let host = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "localhost".to_owned());
    format!("{host}/{}", std::process::id())
}
