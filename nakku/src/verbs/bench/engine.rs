//! The server that a bench works on, and its scratch databases. Never an installation's log.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use eventstore::{EventStore, Keys, Options};
use secrecy::ExposeSecret;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;
use uuid::Uuid;

use crate::config::Config;
use crate::private_postgres::PrivatePostgres;
use crate::schema;

/// As many as a role has; the clients of the log share the one connection of its committer.
const CONNECTIONS: u32 = 10;
const ACQUIRE_MAX: Duration = Duration::from_secs(30);

/// The server's user, who is another one where root runs this, has to reach its files.
const DIRECTORY_MODE: u32 = 0o755;

/// Of logs that nobody reads again.
const KEYS: Keys = Keys {
    master: [1; 64],
    pepper: [2; 32],
};

/// End it with [`Engine::close`].
pub(super) struct Engine {
    private: Option<PrivatePostgres>,
    directory: TempDir,
    options: PgConnectOptions,
    server: PgPool,
    databases: Mutex<Vec<String>>,
}

/// A database of its own, empty unless it was asked for with a schema.
pub(super) struct Scratch {
    pub(super) pool: PgPool,
    pub(super) options: PgConnectOptions,
}

impl Engine {
    /// The server that the configuration names, or one that is thrown away.
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("nakku-bench-")
            .permissions(Permissions::from_mode(DIRECTORY_MODE))
            .tempdir()
            .context("make a temporary directory")?;
        let (url, private) = match &config.database_url {
            Some(url) => (url.expose_secret().to_owned(), None),
            None => {
                let private = PrivatePostgres::start(directory.path()).await?;
                (private.url(), Some(private))
            }
        };
        let options = PgConnectOptions::from_str(&url)
            .context("the database's URL cannot be read")?
            .application_name("nakku bench");
        let server = pool(&options, 2);
        Ok(Self {
            private,
            directory,
            options,
            server,
            databases: Mutex::default(),
        })
    }

    /// Connections to the server, to look at it and to make databases.
    pub(super) fn server(&self) -> &PgPool {
        &self.server
    }

    /// Who runs the server, and the directory of its files where that is known.
    pub(super) fn place(&self) -> (String, Option<&Path>) {
        match self.private {
            Some(_) => {
                let path = self.directory.path();
                (format!("private, in {}", path.display()), Some(path))
            }
            None => ("of DATABASE_URL".to_owned(), None),
        }
    }

    /// A folder for files that go when the bench ends.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A new database, without any table.
    pub(super) async fn database(&self, connections: u32) -> anyhow::Result<Scratch> {
        let name = format!("nakku_bench_{}", Uuid::now_v7().simple());
        self.databases
            .lock()
            .expect("no panic while held")
            .push(name.clone());
        sqlx::query(&format!("create database {name}"))
            .execute(&self.server)
            .await
            .context("cannot make a scratch database")?;
        let options = self.options.clone().database(&name);
        Ok(Scratch {
            pool: pool(&options, connections),
            options,
        })
    }

    /// A new database with an empty log in it.
    pub(super) async fn log(&self) -> anyhow::Result<(Scratch, EventStore)> {
        let scratch = self.database(CONNECTIONS).await?;
        schema::migrate(&scratch.pool).await?;
        let options = Options {
            keys: KEYS,
            upcasters: domain::upcasters(),
            snapshot_shapes: HashMap::new(),
        };
        let store = EventStore::open(scratch.pool.clone(), options).await?;
        Ok((scratch, store))
    }

    /// Removes what was made.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let databases = std::mem::take(&mut *self.databases.lock().expect("no panic while held"));
        let mut dropped = Ok(());
        if self.private.is_none() {
            for name in databases {
                let statement = format!("drop database if exists {name} with (force)");
                let result = sqlx::query(&statement).execute(&self.server).await;
                dropped = dropped.and(result.map(drop));
            }
        }
        self.server.close().await;
        if let Some(private) = self.private {
            private.stop().await?;
        }
        self.directory
            .close()
            .context("remove the temporary directory")?;
        dropped.context("drop a scratch database")
    }
}

fn pool(options: &PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_MAX)
        .connect_lazy_with(options.clone())
}
