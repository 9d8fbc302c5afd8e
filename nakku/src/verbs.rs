//! The verbs: each does one thing on the database and ends.

mod bench;
mod create_admin;
mod dead_letters;
mod demo;
mod erase_user;
mod events;
mod import;
mod migrate;
mod openapi;
mod outbox;
mod projections;
mod replay;
mod requests;
mod sagas;
mod topics;
mod verify;

use anyhow::bail;
use tokio_util::sync::CancellationToken;

use crate::cli::Command;
use crate::config::{self, Config};
use crate::database::{Database, Use};
use crate::{output, shutdown};

pub use self::openapi::document as openapi_document;

/// How a verb ended that did what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Well,
    /// It found what should not be: exit 1, though nothing went wrong with the verb itself.
    Badly,
}

/// What needs neither a configuration nor an installation; none for everything else.
pub fn without_configuration(command: &Command) -> Option<anyhow::Result<Ended>> {
    let printed = match command {
        Command::Config(print) if print.default => {
            output::line(config::DEFAULT_FILE.trim_end()).map_err(Into::into)
        }
        Command::Openapi => openapi::run(),
        _ => return None,
    };
    Some(printed.map(|()| Ended::Well))
}

/// Runs a verb.
///
/// # Errors
/// One line that says why it could not do what it was asked for.
pub async fn run(command: Command, config: &Config) -> anyhow::Result<Ended> {
    match command {
        Command::Migrate => migrate::run(config).await,
        Command::Topics => topics::run(config).await,
        Command::CreateAdmin(arguments) => create_admin::run(config, &arguments.email).await,
        Command::Import(arguments) => return import::run(config, arguments).await,
        Command::EraseUser(arguments) => erase_user::run(config, arguments.id).await,
        Command::Replay(arguments) => return replay::run(config, arguments).await,
        Command::Projections(listing) => projections::run(config, listing.output).await,
        Command::Outbox(listing) => outbox::run(config, listing.output).await,
        Command::Sagas(arguments) => sagas::run(config, arguments).await,
        Command::DeadLetters(arguments) => return dead_letters::run(config, arguments).await,
        Command::Events(arguments) => events::run(config, arguments).await,
        Command::Verify(listing) => return verify::run(config, listing.output).await,
        Command::Demo(arguments) => return demo::run(config, arguments).await,
        Command::Bench(arguments) => bench::run(config, arguments).await,
        other => bail!("{other:?} is no verb"),
    }
    .map(|()| Ended::Well)
}

/// Reaches the database for as long as `work` takes, and checks that its schema is this program's.
async fn with_database<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Database, CancellationToken) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    with_any_database(config, async |database, shutdown| {
        eventstore::check_schema(database.pool()).await?;
        work(database, shutdown).await
    })
    .await
}

/// As [`with_database`], whatever its schema is.
async fn with_any_database<T>(
    config: &Config,
    work: impl AsyncFnOnce(&Database, CancellationToken) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let shutdown = shutdown::on_signals()?;
    let opening = Database::open(config, Use::Join);
    let Some(database) = shutdown.run_until_cancelled(opening).await else {
        bail!("interrupted");
    };
    let database = database?;
    let result = work(&database, shutdown).await;
    let closed = database.close().await;
    let value = result?;
    closed?;
    Ok(value)
}
