//! A reactor on the store feed: one process works, under the reactor's lease.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::job::{Queued, Shared};
use super::lane::LaneId;
use super::progress::{Keeper, Lanes, start_on_store};
use super::work::{Arrived, Ended, Incoming, Input, NO_LANES, Work};
use super::{Reactions, ReactionsError, lag, lease_name};
use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::feed::{Feed, FeedError};
use crate::lease::Lease;
use crate::runner::{Backoff, Halt};

/// Events read at once.
const READ_MAX: usize = 1_000;

/// Pages that may wait to be taken in.
const PAGES_AHEAD: usize = 1;

/// The log as a whole.
const LOG_LANE: LaneId = 0;

impl Reactions {
    pub(super) async fn run_on_store(
        &self,
        stop: &CancellationToken,
    ) -> Result<(), ReactionsError> {
        let (pool, name) = (self.feeds.store().pool(), lease_name(self.reactor.name()));
        loop {
            let Some(lease) = Lease::acquire_when_free(pool, &name, &self.holder, stop).await
            else {
                return Ok(());
            };
            let ended = self.lead(&lease, stop).await;
            if !lease.lost().is_cancelled()
                && let Err(error) = lease.release().await
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(lease = name, error, "lease not released");
            }
            match ended? {
                Ended::Stopped => return Ok(()),
                Ended::Fenced => tracing::warn!(lease = name, "another works on from here"),
            }
        }
    }

    /// Works under the lease.
    async fn lead(&self, lease: &Lease, stop: &CancellationToken) -> Result<Ended, ReactionsError> {
        let halt = stop.child_token();
        let _halting = halt.clone().drop_guard();
        let shared = self.shared(halt);
        let opened = tokio::select! {
            opened = self.open(&shared) => opened,
            () = lease.lost().cancelled() => return Ok(Ended::Fenced),
        };
        let (feed, checkpoint) = match opened {
            Ok(opened) => opened,
            Err(Opening::Failed(error)) => return Err(self.error(error)),
            Err(Opening::Stopped) => return Ok(Ended::Stopped),
        };
        let (sender, inputs) = mpsc::channel(PAGES_AHEAD);
        let reading = read(Arc::clone(&shared), feed, checkpoint, sender);
        let reading = AbortOnDropHandle::new(tokio::spawn(reading));
        let reached = Arc::new(AtomicI64::new(NO_LANES));
        let keeper = Arc::new(Keeper {
            epoch: lease.epoch(),
            lanes: Lanes::Log,
        });
        let pool = self.feeds.store().pool().clone();
        let measuring = lag::measure(pool, shared.consumer.clone(), Arc::clone(&reached));
        let work = Work::new(shared, keeper, Box::new(|_| Some(LOG_LANE)), reached);
        let ended = tokio::select! {
            ended = work.run(inputs, stop, lease.lost()) => ended?,
            () = measuring => Ended::Stopped,
        };
        if ended == Ended::Stopped && !stop.is_cancelled() {
            // The feed ended by itself.
            if let Ok(Err(error)) = reading.await {
                return Err(self.error(error));
            }
        }
        Ok(ended)
    }

    async fn open(&self, shared: &Shared) -> Result<(Box<dyn Feed>, Checkpoint), Opening> {
        let mut backoff = Backoff::new(&shared.consumer, &shared.options, &shared.stop);
        loop {
            let pool = self.feeds.store().pool();
            let opening = async {
                let begins = self.reactor.begins();
                let checkpoint = start_on_store(pool, &shared.consumer, begins).await?;
                let feed = self.feeds.open(&shared.consumer, checkpoint).await?;
                Ok::<_, FeedError>((feed, checkpoint))
            };
            match opening.await {
                Ok(opened) => return Ok(opened),
                Err(error) if error.is_transient() => {
                    let paused = backoff.pause("opening the feed", &error).await;
                    paused.map_err(|_: Halt| Opening::Stopped)?;
                }
                Err(error) => return Err(Opening::Failed(error)),
            }
        }
    }
}

enum Opening {
    Stopped,
    Failed(FeedError),
}

/// Reads the log until it fails for good, or nobody takes what it reads.
async fn read(
    shared: Arc<Shared>,
    mut feed: Box<dyn Feed>,
    checkpoint: Checkpoint,
    sender: mpsc::Sender<Input>,
) -> Result<(), FeedError> {
    let reads = shared.reactor.reads();
    let begin = Input::Begin(vec![(LOG_LANE, checkpoint)]);
    if sender.send(begin).await.is_err() {
        return Ok(());
    }
    loop {
        let mut backoff = Backoff::new(&shared.consumer, &shared.options, &shared.stop);
        let page = loop {
            match feed.next(READ_MAX).await {
                Ok(page) => break page,
                Err(error) if error.is_transient() => {
                    if backoff.pause("reading the feed", &error).await.is_err() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        };
        let Some(incoming) = incoming(page, reads) else {
            continue;
        };
        fail::fail_point!("reactor-read");
        if sender.send(Input::Events(incoming)).await.is_err() {
            return Ok(());
        }
    }
}

/// What a page holds for a reactor; none of an empty page.
fn incoming(page: Vec<RecordedEvent>, reads: &[&str]) -> Option<Incoming> {
    let known = Checkpoint::at(page.last()?);
    let events = page
        .into_iter()
        .filter(|event| reads.contains(&event.aggregate_type.as_str()))
        .map(|event| Arrived {
            queued: Queued {
                lane: LOG_LANE,
                event,
            },
            offset: None,
        })
        .collect();
    Some(Incoming {
        events,
        known: vec![(LOG_LANE, known)],
    })
}
