//! How far a part of the demo has come, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::verbs::import::progress::rate;

const BAR: &str = "{prefix:<9} [{bar:40}] {pos}/{len} {msg}";
/// Between two pictures of the bar.
const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// Between two lines where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Progress {
    bar: ProgressBar,
    part: &'static str,
    done: u64,
    length: u64,
    began: Instant,
    shown: Instant,
}

impl Progress {
    pub(super) fn new(part: &'static str, length: usize) -> Progress {
        let length = length as u64;
        let bar = ProgressBar::new(length);
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(part);
        Progress {
            bar,
            part,
            done: 0,
            length,
            began: Instant::now(),
            shown: Instant::now(),
        }
    }

    /// So many more are done; `more` is said behind the rate.
    pub(super) fn moved(&mut self, count: usize, more: impl FnOnce() -> String) {
        self.done += count as u64;
        let every = if self.bar.is_hidden() {
            SAID_EVERY
        } else {
            SHOWN_EVERY
        };
        if self.shown.elapsed() >= every {
            self.shown = Instant::now();
            self.show(&more());
        }
    }

    /// Leaves the bar as it stands.
    pub(super) fn finish(mut self) {
        self.show("");
        self.bar.abandon();
    }

    fn show(&mut self, more: &str) {
        let rate = rate(self.done, self.began.elapsed());
        let message = format!("{rate:.0}/s{more}");
        if self.bar.is_hidden() {
            let (part, done, length) = (self.part, self.done, self.length);
            eprintln!("demo: {part} {done} of {length}, {message}");
        } else {
            self.bar.set_position(self.done);
            self.bar.set_message(message);
        }
    }
}
