//! Progress on a terminal: a bar a replay, with rate and remaining time. Nothing where standard error is none.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use read_models::replays::{Replay, State};

const TEMPLATE: &str = "{prefix} [{bar:40}] {pos}/{len} {msg}";

pub(super) struct Progress(MultiProgress);

pub(super) struct Bar(ProgressBar);

impl Progress {
    pub(super) fn new() -> Progress {
        Progress(MultiProgress::new())
    }

    pub(super) fn bar(&self, replay: &Replay) -> Bar {
        let bar = Bar(self.0.add(ProgressBar::new(0)));
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.0.set_style(style.progress_chars("=> "));
        }
        let model = read_models::model(&replay.projection);
        bar.0.set_prefix(format!("{model:<8}"));
        bar.show(replay);
        bar
    }
}

impl Bar {
    pub(super) fn show(&self, replay: &Replay) {
        self.0
            .set_length(u64::try_from(replay.target).unwrap_or_default());
        self.0
            .set_position(u64::try_from(replay.position).unwrap_or_default());
        self.0.set_message(message(replay));
    }

    /// Leaves the bar as it stands.
    pub(super) fn finish(self) {
        self.0.abandon();
    }
}

fn message(replay: &Replay) -> String {
    match (replay.state, replay.eta_seconds) {
        (State::Running, Some(eta)) => format!("{:.0} events/s, {eta:.0} s left", replay.rate),
        (State::Running, None) => "reading the log".to_owned(),
        (State::Requested, _) => "waiting for the writer".to_owned(),
        (state, _) => format!("{:.0} events/s, {}", replay.rate, state.as_str()),
    }
}
