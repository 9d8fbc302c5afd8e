//! Progress on standard error: a bar on a terminal, a line now and then elsewhere. Bad lines go to standard output as they
//! come; none is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use command_api::products::{Observer, Rejected, Summary};
use indicatif::{ProgressBar, ProgressStyle};

use super::input::Input;
use crate::cli::Output;
use crate::output;

const BAR: &str = "import [{bar:40}] {percent:>3} % {msg}";
/// Where the length is not known.
const SPINNER: &str = "import {spinner} {msg}";
/// Between two pictures of the bar.
const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// Between two lines where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    bar: ProgressBar,
    format: Output,
    length: Option<u64>,
    taken: Arc<AtomicU64>,
    began: Instant,
    shown: Instant,
}

impl Progress {
    pub(super) fn new(input: &Input, format: Output) -> Progress {
        let (bar, template) = match input.length() {
            Some(length) => (ProgressBar::new(length), BAR),
            None => (ProgressBar::no_length(), SPINNER),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress {
            bar,
            format,
            length: input.length(),
            taken: input.taken(),
            began: Instant::now(),
            shown: Instant::now(),
        }
    }

    /// Leaves the bar as it stands.
    pub(super) fn finish(self) {
        self.bar.abandon();
    }

    fn message(&self, summary: &Summary) -> String {
        let lines = summary.accepted() + summary.rejected;
        let elapsed = self.began.elapsed();
        let rate = rate(lines, elapsed);
        let mut message = format!("{lines} lines, {rate:.0} lines/s");
        if summary.rejected > 0 {
            message.push_str(&format!(", {} rejected", summary.rejected));
        }
        if let Some(left) = self.left(elapsed) {
            message.push_str(&format!(", {left:.0} s left"));
        }
        message
    }

    /// Seconds for the rest, if it takes as long by the byte as what was read.
    // Sizes of files are far below 2^53: exact as floats.
    #[expect(clippy::cast_precision_loss)]
    fn left(&self, elapsed: Duration) -> Option<f64> {
        let (length, taken) = (self.length?, self.taken.load(Ordering::Relaxed));
        let rest = length.saturating_sub(taken) as f64;
        (taken > 0).then(|| elapsed.as_secs_f64() * rest / taken as f64)
    }
}

impl Observer for Progress {
    fn rejected(&mut self, rejected: Rejected) {
        let printed = self.bar.suspend(|| match self.format {
            Output::Json => output::json(&rejected),
            Output::Table => {
                let (line, detail) = (rejected.line, &rejected.reason.detail);
                output::line(&format!("line {line}: {detail}"))
            }
        });
        if let Err(error) = printed {
            tracing::debug!(%error, "nobody reads standard output");
        }
    }

    fn moved(&mut self, summary: &Summary) {
        let every = if self.bar.is_hidden() {
            SAID_EVERY
        } else {
            SHOWN_EVERY
        };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let message = self.message(summary);
        if self.bar.is_hidden() {
            eprintln!("import: {message}");
        } else {
            self.bar.set_position(self.taken.load(Ordering::Relaxed));
            self.bar.set_message(message);
        }
    }
}

/// A second's worth.
// Counts of lines are far below 2^53: exact as floats.
#[expect(clippy::cast_precision_loss)]
pub(in crate::verbs) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}
