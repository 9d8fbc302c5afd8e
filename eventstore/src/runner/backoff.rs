//! Waiting between attempts.

use std::error::Error;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::{Halt, RunnerOptions, one_line};

/// From the first to the longest, doubled in between: quick enough for a lost connection, slow enough not to
/// burden what is down.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Attempts at one thing: without end, each after a longer wait, visible.
pub(crate) struct Backoff<'a> {
    consumer: &'a str,
    options: &'a RunnerOptions,
    stop: &'a CancellationToken,
    waits: ExponentialBackoff,
    attempts: u32,
}

impl<'a> Backoff<'a> {
    pub(crate) fn new(
        consumer: &'a str,
        options: &'a RunnerOptions,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            consumer,
            options,
            stop,
            waits: ExponentialBuilder::default()
                .with_min_delay(WAIT_MIN)
                .with_max_delay(WAIT_MAX)
                .with_jitter()
                .without_max_times()
                .build(),
            attempts: 0,
        }
    }

    /// Says that an attempt failed and waits for the next.
    ///
    /// # Errors
    /// [`Halt::Stopped`] where the program ends meanwhile.
    pub(crate) async fn pause(
        &mut self,
        what: &str,
        error: &(dyn Error + Send + Sync + 'static),
    ) -> Result<(), Halt> {
        self.attempts += 1;
        tracing::warn!(
            consumer = self.consumer,
            attempts = self.attempts,
            error = one_line(error),
            "{what} failed, trying again"
        );
        if let Some(name) = &self.options.metrics_name {
            metrics::counter!("nakku_consumer_retries_total", "consumer" => name.clone())
                .increment(1);
        }
        let wait = self.waits.next().unwrap_or(WAIT_MAX);
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.cancelled() => Err(Halt::Stopped),
        }
    }
}
