//! The database of this installation: the one that is named, or the private server of the data directory.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool};

use crate::config::Config;
use crate::private_postgres::PrivatePostgres;

/// A server that does not answer within this time fails the start instead of hanging it.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A request that gets no connection within this time is answered as overloaded, before its client gives up.
const ACQUIRE_MAX: Duration = Duration::from_secs(5);
/// Connections without work go after this time, so that a quiet process holds few.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// What a table or a durable file rests on; off, a crash of the machine may take the log with it.
const DURABILITY_SETTINGS: [&str; 2] = ["fsync", "full_page_writes"];

/// A database in reach, for as long as this value lives. End it with [`Database::close`].
#[derive(Debug)]
pub struct Database {
    pool: PgPool,
    private: Option<PrivatePostgres>,
}

/// Whose the private server is, where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// `nakku up` owns it.
    Own,
    /// Everybody else joins it, or starts it for as long as it is needed.
    Join,
}

impl Database {
    /// Reaches the database that the configuration names.
    ///
    /// # Errors
    /// One line that names the database and what is wrong with it.
    pub async fn open(config: &Config, usage: Use) -> anyhow::Result<Database> {
        let (url, private) = match &config.database_url {
            Some(url) => (url.expose_secret().to_owned(), None),
            None => {
                let private = match usage {
                    Use::Own => PrivatePostgres::start(&config.data_dir).await?,
                    Use::Join => PrivatePostgres::connect_or_start(&config.data_dir).await?,
                };
                (private.url(), Some(private))
            }
        };
        match connect(&url, config.database_connections).await {
            Ok(pool) => Ok(Database { pool, private }),
            Err(error) => {
                if let Some(private) = private {
                    private.stop().await?;
                }
                Err(error)
            }
        }
    }

    /// Connections to it.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Gives the connections back, and leaves the private server.
    ///
    /// # Errors
    /// When the private server had to be killed.
    pub async fn close(self) -> anyhow::Result<()> {
        self.pool.close().await;
        match self.private {
            Some(private) => private.stop().await,
            None => Ok(()),
        }
    }
}

/// One connection first, for the error that it gives: a pool goes on trying and then only says that time has passed.
async fn connect(url: &str, connections: u32) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(url)
        .context("the database's URL cannot be read")?
        .application_name("nakku");
    let named = || format!("cannot use the database {}", name(&options));
    let connecting = PgConnection::connect_with(&options);
    let mut connection = match tokio::time::timeout(CONNECT_MAX, connecting).await {
        Ok(connection) => connection.with_context(named)?,
        Err(_) => bail!("{}: no answer within {} s", named(), CONNECT_MAX.as_secs()),
    };
    warn_unless_durable(&mut connection)
        .await
        .with_context(named)?;
    connection.close().await.with_context(named)?;
    Ok(PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_MAX)
        .idle_timeout(IDLE_MAX)
        .connect_lazy_with(options))
}

/// As a person would say it, without a password.
fn name(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    format!(
        "'{database}' on {place} as user '{}'",
        options.get_username()
    )
}

async fn warn_unless_durable(connection: &mut PgConnection) -> sqlx::Result<()> {
    let off: Vec<String> =
        sqlx::query_scalar("select name from pg_settings where name = any($1) and setting = 'off'")
            .bind(DURABILITY_SETTINGS.map(str::to_owned).to_vec())
            .fetch_all(connection)
            .await?;
    for setting in off {
        tracing::warn!(
            setting,
            "the database runs with this setting off: a crash of its machine can damage the log"
        );
    }
    Ok(())
}
