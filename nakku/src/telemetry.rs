//! Logs, to standard error: standard output carries results only. Metrics, for whoever asks a role.

mod json_lines;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::panic::PanicHookInfo;

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::JsonFields;

use crate::config::{Config, LogFormat};
use json_lines::JsonLines;

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
        LogFormat::Json => {
            // What the standard library writes is not JSON.
            std::panic::set_hook(Box::new(log_panic));
            builder
                .fmt_fields(JsonFields::new())
                .event_format(JsonLines)
                .try_init()
        }
    };
    installed.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
}

/// Installs the recorder of metrics, before anything of a role is measured or described: what comes earlier is lost.
pub fn install_metrics() {
    http_server::metrics::install();
    http_client::describe_metrics();
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    tracing::error!(
        thread = thread.name(),
        location = panic.location().map(tracing::field::display),
        backtrace = is_captured.then(|| tracing::field::display(&backtrace)),
        "panicked: {}",
        panic.payload_as_str().unwrap_or("without a message")
    );
}
