//! What goes on beside the work: saving progress, and looking for what operators asked for.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::streams::Found;
use super::{Ended, IDLE_SAVE_INTERVAL, REQUESTS_INTERVAL, SAVE_INTERVAL, Task, Work};
use crate::dead_letters::{self, ParkedStream};
use crate::reactor::Parks;
use crate::reactor::job::Shared;
use crate::reactor::lane::Lane;
use crate::reactor::progress::{Keeper, Moved};
use crate::runner::{Backoff, Halt};

/// Events parked alone that a look finds to be tried again: as many as are worked on at once. The rest is found once these
/// are over.
const RETRIES_MAX: i64 = 256;

/// Events parked alone are counted no further: more are as bad, and counting them all twice a second is not free.
const COUNTED_MAX: i64 = 10_000;

/// What came of it.
pub(super) enum Done {
    Found(Found),
    /// It is not for this process to save progress any more.
    Fenced,
    Saved(Vec<Moved>),
    Stopped,
}

impl Work {
    /// When the next of it begins.
    pub(super) fn due(&self) -> Instant {
        let mut due = Instant::now() + REQUESTS_INTERVAL;
        if !self.loading {
            due = due.min(self.requests_at);
        }
        if !self.saving && self.is_unsaved() {
            due = due.min(self.next_save());
        }
        due
    }

    fn is_unsaved(&self) -> bool {
        !self.ended.is_empty() || self.lanes.values().any(Lane::is_unsaved)
    }

    fn next_save(&self) -> Instant {
        if self.handled {
            self.save_at
        } else {
            self.save_at + (IDLE_SAVE_INTERVAL - SAVE_INTERVAL)
        }
    }

    pub(super) fn start_background(&mut self) {
        let now = Instant::now();
        if !self.loading && now >= self.requests_at {
            self.loading = true;
            self.requests_at = now + REQUESTS_INTERVAL;
            let look = self.streams.look();
            let after = self.lanes.values().map(|lane| lane.reached().position);
            let after = after.min().unwrap_or_default();
            let (shared, keeper) = (Arc::clone(&self.shared), Arc::clone(&self.keeper));
            self.background
                .spawn(async move { look_at(&shared, &keeper, look, after).await });
        }
        if !self.saving && now >= self.next_save() && self.is_unsaved() {
            self.saving = true;
            if std::mem::take(&mut self.handled) {
                fail::fail_point!("reactor-handled");
            }
            let moved = self.moved();
            let (shared, keeper) = (Arc::clone(&self.shared), Arc::clone(&self.keeper));
            self.background
                .spawn(async move { save(&shared, &keeper, moved).await });
        }
    }

    fn moved(&mut self) -> Vec<Moved> {
        let mut moved = std::mem::take(&mut self.ended);
        let unsaved = self.lanes.iter().filter(|(_, lane)| lane.is_unsaved());
        moved.extend(unsaved.map(|(id, lane)| Moved::of(*id, lane)));
        moved
    }

    pub(super) fn conclude(&mut self, done: Done) -> Option<Ended> {
        match done {
            Done::Found(found) => {
                self.loading = false;
                self.seen_look = found.look;
                for stream in self.streams.found(found) {
                    let lane = (self.lane_of)(&stream).and_then(|lane| self.lanes.get(&lane));
                    if let Some(lane) = lane {
                        let upto = lane.seen();
                        self.streams.take(&stream);
                        self.spawn(stream, Task::Retry { upto });
                    }
                }
                self.report_parked();
            }
            Done::Fenced => return Some(Ended::Fenced),
            Done::Saved(moved) => {
                self.saving = false;
                self.save_at = Instant::now() + SAVE_INTERVAL;
                self.note_saved(&moved);
                fail::fail_point!("reactor-saved");
            }
            Done::Stopped => {}
        }
        None
    }

    /// Saves once more, unless that takes longer than there is time for.
    pub(super) async fn save_last(&mut self, deadline: Instant) {
        let moved = self.moved();
        if moved.is_empty() {
            return;
        }
        let (pool, consumer) = (self.shared.store.pool(), &self.shared.consumer);
        let saving = self.keeper.save(pool, consumer, &moved);
        match timeout_at(deadline, saving).await {
            Ok(Ok(true)) => self.note_saved(&moved),
            Ok(Err(error)) => tracing::debug!(consumer, %error, "progress not saved at the end"),
            Ok(Ok(false)) | Err(_) => {}
        }
    }

    fn note_saved(&mut self, saved: &[Moved]) {
        let mut offsets = self.shared.offsets.lock().expect("no panic while held");
        for moved in saved {
            if let Some(hint) = moved.hint {
                offsets.insert(moved.lane, hint.offset + 1);
            }
            if let Some(lane) = self.lanes.get_mut(&moved.lane) {
                lane.saved(moved.reached.position);
            }
        }
    }
}

async fn look_at(shared: &Shared, keeper: &Keeper, look: u64, after: i64) -> Done {
    let (pool, consumer) = (shared.store.pool(), shared.consumer.as_str());
    let mut backoff = Backoff::new(consumer, &shared.options, &shared.stop);
    loop {
        let looking = async {
            let (streams, parked) = parked(shared).await?;
            let discarded = dead_letters::skipped_after(pool, &[consumer], after).await?;
            if !keeper.is_mine(pool, consumer).await? {
                return Ok(Done::Fenced);
            }
            Ok::<_, sqlx::Error>(Done::Found(Found {
                look,
                streams,
                parked,
                discarded,
            }))
        };
        let error = match looking.await {
            Ok(done) => return done,
            Err(error) => error,
        };
        if pause(&mut backoff, "reading dead letters", &error).await {
            return Done::Stopped;
        }
    }
}

/// Where streams are parked all of them, which are few; else what is to be tried again. And how many are parked.
async fn parked(shared: &Shared) -> sqlx::Result<(Vec<ParkedStream>, usize)> {
    let (pool, consumer) = (shared.store.pool(), shared.consumer.as_str());
    match shared.reactor.parks() {
        Parks::Streams { .. } => {
            let streams = dead_letters::streams(pool, consumer).await?;
            let parked = streams.len();
            Ok((streams, parked))
        }
        Parks::Events => {
            let streams = dead_letters::asked_for(pool, consumer, RETRIES_MAX).await?;
            let parked = dead_letters::count_some(pool, consumer, COUNTED_MAX).await?;
            Ok((streams, usize::try_from(parked).unwrap_or(usize::MAX)))
        }
    }
}

async fn save(shared: &Shared, keeper: &Keeper, moved: Vec<Moved>) -> Done {
    let (pool, consumer) = (shared.store.pool(), shared.consumer.as_str());
    let mut backoff = Backoff::new(consumer, &shared.options, &shared.stop);
    loop {
        let error = match keeper.save(pool, consumer, &moved).await {
            Ok(true) => return Done::Saved(moved),
            Ok(false) => return Done::Fenced,
            Err(error) => error,
        };
        if pause(&mut backoff, "saving the progress", &error).await {
            return Done::Stopped;
        }
    }
}

/// Waits for the next attempt. True where there is none.
async fn pause(backoff: &mut Backoff<'_>, what: &str, error: &sqlx::Error) -> bool {
    let paused: Result<(), Halt> = backoff.pause(what, error).await;
    paused.is_err()
}
