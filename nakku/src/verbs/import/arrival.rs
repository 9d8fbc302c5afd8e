//! The end of an import: what was accepted is in the read models that list products.

use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use projections::ReadModel;
use read_models::status::{self, State, Status};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::verbs::replay::consumers;
use crate::verbs::requests::Requests;

/// Those that hold products.
const MODELS: [ReadModel; 2] = [ReadModel::Products, ReadModel::Search];
const BAR: &str = "{prefix} [{bar:40}] {pos}/{len} {msg}";
/// Between two lines where there is no terminal.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// Waits until the live read models have come to a position; brings them there where nobody else does.
///
/// # Errors
/// Where one stands still, with the reason, or the program is asked to end.
pub(super) async fn wait(
    config: &Config,
    pool: &PgPool,
    position: i64,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let requests = Requests::new(config, pool, shutdown);
    let waited = wait_with(config, pool, position, &requests).await;
    requests.close().await;
    waited
}

async fn wait_with(
    config: &Config,
    pool: &PgPool,
    position: i64,
    requests: &Requests<'_>,
) -> anyhow::Result<()> {
    let bars = MultiProgress::new();
    for model in MODELS {
        for consumer in consumers(config, pool, model).await? {
            let mut bar = Bar::new(&bars, model, position);
            let has_come = async || {
                let statuses = status::list(pool, Some(&consumer)).await?;
                let live = live(&statuses)?;
                bar.show(live);
                Ok(live >= position)
            };
            requests.carry_out(&consumer, has_come).await?;
            bar.bar.abandon();
        }
    }
    Ok(())
}

/// Where the generation stands that answers queries; 0 while there is none.
fn live(statuses: &[Status]) -> anyhow::Result<i64> {
    let Some(live) = statuses.first() else {
        return Ok(0);
    };
    match live.state {
        State::Live => Ok(live.position),
        State::Building | State::Previous => Ok(0),
        State::Paused => bail!("{} is paused", live.name),
        State::Failed => {
            let why = live.failure.as_deref().unwrap_or("it stopped");
            bail!("{}: {why}", live.name)
        }
    }
}

struct Bar {
    bar: ProgressBar,
    model: ReadModel,
    position: i64,
    said: Instant,
}

impl Bar {
    fn new(bars: &MultiProgress, model: ReadModel, position: i64) -> Bar {
        let length = u64::try_from(position).unwrap_or_default();
        let bar = bars.add(ProgressBar::new(length));
        if let Ok(style) = ProgressStyle::with_template(BAR) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{:<8}", model.name()));
        bar.set_message("following the log");
        Bar {
            bar,
            model,
            position,
            said: Instant::now(),
        }
    }

    fn show(&mut self, at: i64) {
        let at = at.min(self.position);
        self.bar.set_position(u64::try_from(at).unwrap_or_default());
        if at == self.position {
            self.bar.set_message("up to date");
        } else if self.bar.is_hidden() && self.said.elapsed() >= SAID_EVERY {
            self.said = Instant::now();
            eprintln!(
                "import: {} is at position {at} of {}",
                self.model, self.position
            );
        }
    }
}
