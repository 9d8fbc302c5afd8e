//! What every process of an installation shares: the database, and the keys file that its log was written with.

use std::collections::HashMap;

use anyhow::{Context, bail};
use eventstore::{EventStore, OpenError, Options};
use sqlx::PgPool;

use crate::config::Config;
use crate::database::{Database, Use};
use crate::keys_file::KeysFile;

/// An installation in reach. End it with [`Installation::close`].
#[derive(Debug)]
pub struct Installation {
    pub database: Database,
    pub keys: KeysFile,
}

impl Installation {
    /// Reaches the database and checks that its schema is this program's and the keys file its own.
    ///
    /// # Errors
    /// One line that names what is wrong and, where it helps, what to run.
    pub async fn open(config: &Config) -> anyhow::Result<Installation> {
        let database = Database::open(config, Use::Join).await?;
        let keys = match check(config, database.pool()).await {
            Ok(keys) => keys,
            Err(error) => {
                database.close().await?;
                return Err(error);
            }
        };
        Ok(Installation { database, keys })
    }

    /// Gives the database back.
    ///
    /// # Errors
    /// As [`Database::close`].
    pub async fn close(self) -> anyhow::Result<()> {
        self.database.close().await
    }
}

/// The keys file of a database whose schema is this program's.
///
/// # Errors
/// As [`Installation::open`].
pub async fn check(config: &Config, pool: &PgPool) -> anyhow::Result<KeysFile> {
    eventstore::check_schema(pool).await?;
    let keys = keys(config, pool).await?;
    eventstore::check_keys(pool, &keys.log_keys())
        .await
        .map_err(|error| named(error, config))?;
    Ok(keys)
}

/// Opens the log of the database.
///
/// # Errors
/// As [`Installation::open`].
pub async fn open_store(
    config: &Config,
    pool: &PgPool,
    keys: &KeysFile,
) -> anyhow::Result<EventStore> {
    let snapshot_shapes: HashMap<_, _> = domain::AGGREGATE_TYPES
        .iter()
        .map(|aggregate| (aggregate.name, aggregate.shape))
        .collect();
    let options = Options {
        keys: keys.log_keys(),
        upcasters: domain::upcasters(),
        snapshot_shapes,
    };
    EventStore::open(pool.clone(), options)
        .await
        .map_err(|error| named(error, config))
}

/// Only a log that no keys file was used with yet gets a new one: beside any other, sealed fields would stay unreadable.
async fn keys(config: &Config, pool: &PgPool) -> anyhow::Result<KeysFile> {
    let path = &config.keys_file;
    let is_new: bool =
        sqlx::query_scalar("select keys_fingerprint is null from log where name = $1")
            .bind(eventstore::LOG)
            .fetch_one(pool)
            .await
            .context("the log's row cannot be read")?;
    if is_new {
        return KeysFile::load_or_create(path);
    }
    if !path.exists() {
        bail!(
            "there is no keys file {}, and the database was written with one: put a copy of it there, or name it by \
             NAKKU_KEYS_FILE",
            path.display()
        );
    }
    KeysFile::load(path)
}

fn named(error: OpenError, config: &Config) -> anyhow::Error {
    let is_about_keys = matches!(error, OpenError::OtherKeys);
    let error = anyhow::Error::from(error);
    if is_about_keys {
        error.context(config.keys_file.display().to_string())
    } else {
        error
    }
}
