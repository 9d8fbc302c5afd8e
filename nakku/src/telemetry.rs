//! Logs, to standard error: standard output carries results only.

use std::io;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// What libraries say is of no interest before something is wrong; the setting can ask for more.
/// A connection that does not outlive the server it belongs to is not even wrong.
const QUIET: &str =
    "sqlx=warn,sqlx_core::pool::connection=error,tantivy=warn,hyper=warn,librdkafka=warn";

/// Installs the subscriber of this process.
///
/// # Errors
/// When one is installed already.
pub fn install(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{}", config.log))
        .context("the log filter cannot be read")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let installed = match config.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
}
