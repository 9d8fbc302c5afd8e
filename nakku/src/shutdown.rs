//! The signals that end the program.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What shells report for a process that was ended by a signal: this plus its number.
const EXIT_SIGNALLED: i32 = 128;

/// Cancelled by the first SIGINT or SIGTERM: end in order. A second one ends the process at once; what is durable stays so,
/// and the next start deals with what is left behind.
///
/// # Errors
/// When the process may not handle signals.
pub fn on_signals() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("handle SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("handle SIGTERM")?;
    let asked = CancellationToken::new();
    let token = asked.clone();
    tokio::spawn(async move {
        let first = either(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = first.as_raw_value(), "stopping");
        token.cancel();
        let second = either(&mut interrupt, &mut terminate).await;
        eprintln!("nakku: ended at once by a second signal");
        std::process::exit(EXIT_SIGNALLED + second.as_raw_value());
    });
    Ok(asked)
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}
