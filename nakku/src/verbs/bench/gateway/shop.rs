//! An installation with a log of its own, and the processes that answer for it.

use std::path::PathBuf;

use anyhow::Context;
use chrono::Utc;
use futures::future::try_join_all;
use http_client::ServiceUrl;
use http_server::token::Jwks;
use http_server::{Role, Signer};
use secrecy::SecretString;
use sqlx::ConnectOptions;
use uuid::Uuid;

use super::super::engine::{Engine, Scratch};
use super::child::{Process, Settings};
use crate::keys_file::KeysFile;
use crate::schema;

/// Of each side: one dies, and there is still a choice.
const INSTANCES: usize = 3;
/// Connections of the bench itself, to look at the log.
const CONNECTIONS: u32 = 2;
/// Longer than any run.
const TOKEN_LIFETIME: std::time::Duration = std::time::Duration::from_secs(86_400);
/// All requests come from one address and one account, and are not to be counted as those of one client.
const RATE: &str = "1000000";
/// The services that a command-api answers for, as the variables of their addresses begin.
const CONTEXTS: [&str; 6] = [
    "USER",
    "PRODUCT",
    "INVENTORY",
    "ORDER",
    "PAYMENT",
    "DELIVERY",
];

/// An installation; its processes are started as they are needed.
pub(super) struct Shop {
    pub(super) scratch: Scratch,
    pub(super) staff: SecretString,
    pub(super) customer: SecretString,
    /// The public keys, as the user service publishes them.
    pub(super) jwks: Jwks,
    /// Of a role that works on the log.
    pub(super) settings: Settings,
    pub(super) logs: PathBuf,
    service_token: String,
}

/// All that answers for a shop, each a process of its own.
pub(super) struct Fleet {
    pub(super) commands: Vec<Process>,
    pub(super) queries: Vec<Process>,
    project: Process,
    pub(super) gateway: Process,
}

impl Shop {
    pub(super) async fn open(engine: &Engine) -> anyhow::Result<Self> {
        let scratch = engine.database(CONNECTIONS).await?;
        schema::migrate(&scratch.pool).await?;
        let directory = engine.directory().join("gateway");
        let logs = directory.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("make {}", logs.display()))?;
        let key = KeysFile::load_or_create(&directory.join("keys.json"))?.signing;
        let signer = Signer::new(key.kid, &key.pkcs8)?;
        let service_token = Uuid::new_v4().simple().to_string();
        let settings = Settings::default()
            .with(
                "DATABASE_URL",
                scratch.options.to_url_lossy().as_str().to_owned(),
            )
            .with("NAKKU_DATA_DIR", &directory)
            .with("NAKKU_SERVICE_TOKEN", &service_token);
        Ok(Self {
            scratch,
            staff: token(&signer, Role::Staff),
            customer: token(&signer, Role::Customer),
            jwks: Jwks::new([signer.public_key()]),
            settings,
            logs,
            service_token,
        })
    }

    /// Of a gateway, which knows neither the log nor the keys.
    pub(super) fn gateway_settings(&self) -> Settings {
        Settings::default()
            .with("NAKKU_SERVICE_TOKEN", &self.service_token)
            .with("NAKKU_RATE_PER_SECOND", RATE)
            .with("NAKKU_RATE_BURST", RATE)
    }

    pub(super) async fn start(
        &self,
        arguments: &[&str],
        settings: &Settings,
    ) -> anyhow::Result<Process> {
        Process::start(arguments, settings, &self.logs).await
    }

    /// Closes the bench's own connections to the log.
    pub(super) async fn close(self) {
        self.scratch.pool.close().await;
    }
}

impl Fleet {
    pub(super) async fn start(shop: &Shop) -> anyhow::Result<Self> {
        let several =
            |role: &'static str| try_join_all((0..INSTANCES).map(move |_| start_one(shop, role)));
        let (project, commands, queries) = tokio::try_join!(
            start_one(shop, "project"),
            several("command-api"),
            several("query-api")
        )?;
        let mut settings = shop
            .gateway_settings()
            .with("QUERY_SERVICE_URL", addresses(&queries));
        for context in CONTEXTS {
            settings = settings.with(format!("{context}_SERVICE_URL"), addresses(&commands));
        }
        let gateway = shop.start(&["gateway"], &settings).await?;
        Ok(Self {
            commands,
            queries,
            project,
            gateway,
        })
    }

    /// Ends those that still run.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.gateway.stop().await?;
        for role in self.queries.into_iter().chain(self.commands) {
            role.stop().await?;
        }
        self.project.stop().await
    }
}

async fn start_one(shop: &Shop, role: &'static str) -> anyhow::Result<Process> {
    shop.start(&[role], &shop.settings).await
}

/// As a setting names the instances of one service.
pub(super) fn addresses(processes: &[Process]) -> String {
    listed(processes.iter().map(Process::url))
}

pub(super) fn listed<'a>(urls: impl Iterator<Item = &'a ServiceUrl>) -> String {
    let urls: Vec<String> = urls.map(ToString::to_string).collect();
    urls.join(",")
}

fn token(signer: &Signer, role: Role) -> SecretString {
    let nobody = Uuid::now_v7().to_string();
    SecretString::from(signer.sign(&nobody, role, TOKEN_LIFETIME, Utc::now()))
}
