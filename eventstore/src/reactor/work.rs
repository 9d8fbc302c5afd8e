//! One session of a reactor: events come in, streams are worked on side by side, progress goes out.

mod background;
mod streams;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use self::background::Done;
use self::streams::Streams;
use super::ReactionsError;
use super::job::{Outcome, Queued, Shared};
use super::lane::{Lane, LaneId};
use super::progress::{Keeper, Moved};
use crate::checkpoint::Checkpoint;
use crate::dead_letters::StreamName;

/// Streams worked on at once: as many commands as fill a batch of the committer twice over do not fit, and fewer would
/// leave it half empty.
const STREAMS_AT_ONCE: usize = 256;

/// Events that may wait for their streams. More would only take memory.
const QUEUED_MAX: usize = 4_096;

/// Events that may be handled beyond one that is not: so many are handled again after a crash, at most.
const AHEAD_MAX: usize = 50_000;

/// Least time between two writes of the progress, after something was handled, and else.
const SAVE_INTERVAL: Duration = Duration::from_millis(100);
const IDLE_SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How often requests of operators (retry, discard) are looked for.
const REQUESTS_INTERVAL: Duration = Duration::from_millis(500);

/// Longest wait at the end for what is under way; what is broken off is handled again.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// Nothing lies at this position: the lag of a session without lanes is not known.
pub(super) const NO_LANES: i64 = -1;

/// What a source hands over.
pub(super) enum Input {
    /// Lanes that are worked on here from now on, each from after where it stands.
    Begin(Vec<(LaneId, Checkpoint)>),
    /// Lanes that are not any more.
    End(Vec<LaneId>),
    Events(Incoming),
}

/// Events, those of a lane in order, and how far lanes are known: nothing up to there is to come.
#[derive(Default)]
pub(super) struct Incoming {
    pub(super) events: Vec<Arrived>,
    pub(super) known: Vec<(LaneId, Checkpoint)>,
}

/// An event, and where Kafka has it if it came from there.
pub(super) struct Arrived {
    pub(super) queued: Queued,
    pub(super) offset: Option<i64>,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Stopped,
    /// Another works, or the progress was set anew.
    Fenced,
}

/// What a source sends.
pub(super) type Inputs = mpsc::Receiver<Input>;

/// Says which lane a stream belongs to; none where it is not worked on here.
pub(super) type LaneOf = Box<dyn Fn(&StreamName) -> Option<LaneId> + Send>;

/// Schedules what came.
pub(super) struct Work {
    shared: Arc<Shared>,
    keeper: Arc<Keeper>,
    lane_of: LaneOf,
    lanes: HashMap<LaneId, Lane>,
    streams: Streams,
    jobs: JoinSet<(StreamName, Outcome)>,
    background: JoinSet<Done>,
    /// Progress of lanes that are not worked on here any more.
    ended: Vec<Moved>,
    /// The look at the dead letters that has to be over before anything is taken in, and the last one that is.
    needed_look: u64,
    seen_look: u64,
    loading: bool,
    saving: bool,
    /// Whether something was handled since the last save.
    handled: bool,
    save_at: Instant,
    requests_at: Instant,
    /// Whether too many streams are parked, as it was last said.
    halted: bool,
    /// For the lag: the lowest position reached.
    reached: Arc<AtomicI64>,
}

impl Work {
    pub(super) fn new(
        shared: Arc<Shared>,
        keeper: Arc<Keeper>,
        lane_of: LaneOf,
        reached: Arc<AtomicI64>,
    ) -> Self {
        let now = Instant::now();
        let streams = Streams::new(shared.reactor.parks());
        Self {
            shared,
            keeper,
            lane_of,
            lanes: HashMap::new(),
            streams,
            jobs: JoinSet::new(),
            background: JoinSet::new(),
            ended: Vec::new(),
            needed_look: 1,
            seen_look: 0,
            loading: false,
            saving: false,
            handled: false,
            halted: false,
            save_at: now,
            requests_at: now,
            reached,
        }
    }

    /// Works until `stop`, until `lost`, or until the source ends. After `stop` what is under way is finished and saved.
    pub(super) async fn run(
        mut self,
        mut inputs: Inputs,
        stop: &CancellationToken,
        lost: &CancellationToken,
    ) -> Result<Ended, ReactionsError> {
        loop {
            self.start_jobs();
            self.start_background();
            let takes = self.takes();
            let due = self.due();
            tokio::select! {
                biased;
                () = lost.cancelled() => return Ok(Ended::Fenced),
                () = stop.cancelled() => return Ok(self.finish(lost).await),
                Some(done) = self.background.join_next(), if !self.background.is_empty() => {
                    if let Some(ended) = self.conclude(done.expect("it does not panic")) {
                        return Ok(ended);
                    }
                }
                Some(job) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    let (stream, outcome) = job.expect("what panics is caught");
                    self.settle(stream, outcome);
                }
                input = inputs.recv(), if takes => match input {
                    Some(input) => self.take(input),
                    None => return Ok(self.finish(lost).await),
                },
                () = sleep_until(due) => {}
            }
        }
    }

    fn takes(&self) -> bool {
        let ahead: usize = self.lanes.values().map(Lane::len).sum();
        self.seen_look >= self.needed_look
            && self.streams.queued() < QUEUED_MAX
            && ahead < AHEAD_MAX
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Begin(lanes) => {
                let begun = lanes.into_iter().map(|(id, at)| (id, Lane::after(at)));
                self.lanes.extend(begun);
                // Whoever had them before may have parked streams a moment ago.
                self.needed_look = self.streams.looks() + 1;
                self.requests_at = Instant::now();
            }
            Input::End(lanes) => {
                self.streams.forget(&lanes);
                for lane in &lanes {
                    if let Some(ended) = self.lanes.remove(lane).filter(Lane::is_unsaved) {
                        self.ended.push(Moved::of(*lane, &ended));
                    }
                }
            }
            Input::Events(Incoming { events, known }) => {
                for arrived in events {
                    self.arrived(arrived);
                }
                for (id, known) in known {
                    if let Some(lane) = self.lanes.get_mut(&id) {
                        lane.know(known);
                    }
                }
            }
        }
        self.tell_reached();
    }

    fn arrived(&mut self, Arrived { queued, offset }: Arrived) {
        let event = &queued.event;
        let Some(lane) = self.lanes.get_mut(&queued.lane) else {
            return;
        };
        if !lane.push(event.position, event.event_id, offset) {
            return;
        }
        if self.streams.is_discarded(event.position) {
            lane.done(event.position);
        } else {
            self.streams.queue(queued);
        }
    }

    fn start_jobs(&mut self) {
        while self.jobs.len() < STREAMS_AT_ONCE && !self.streams.are_too_many() {
            let Some((name, task)) = self.streams.next() else {
                return;
            };
            self.spawn(name, task);
        }
    }

    fn spawn(&mut self, name: StreamName, task: Task) {
        let shared = Arc::clone(&self.shared);
        self.jobs.spawn(async move {
            let outcome = match task {
                Task::Handle(queued) => shared.handle(queued).await,
                Task::Park(events, error) => shared.park(events, error).await,
                Task::Retry { upto } => shared.retry(&name, upto).await,
            };
            (name, outcome)
        });
    }

    fn settle(&mut self, stream: StreamName, outcome: Outcome) {
        match outcome {
            Outcome::Handled(lane, position) => self.done(lane, position),
            Outcome::Poison(queued, error) => {
                let events = self.streams.poisoned(&stream, queued);
                self.spawn(stream, Task::Park(events, Some(error)));
                return;
            }
            Outcome::Parked(events) => {
                self.streams.parked(&stream);
                for (lane, position) in events {
                    self.done(lane, position);
                }
                self.report_parked();
            }
            Outcome::Retried { free } => {
                if free {
                    self.streams.free(&stream);
                }
                // The next of the stream may have been asked for meanwhile.
                self.requests_at = Instant::now();
                self.report_parked();
            }
            Outcome::Stopped => {}
        }
        self.streams.idle(stream);
        self.tell_reached();
    }

    fn done(&mut self, lane: LaneId, position: i64) {
        self.handled = true;
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.done(position);
        }
    }

    fn tell_reached(&self) {
        let lowest = self.lanes.values().map(|lane| lane.reached().position);
        self.reached
            .store(lowest.min().unwrap_or(NO_LANES), Ordering::Relaxed);
    }

    fn report_parked(&mut self) {
        let (reactor, parked) = (&self.shared.consumer, self.streams.count_parked());
        let streams = u32::try_from(parked).unwrap_or(u32::MAX);
        metrics::gauge!("nakku_dead_letters", "consumer" => reactor.clone())
            .set(f64::from(streams));
        let halted = self.streams.are_too_many();
        metrics::gauge!("nakku_reactor_halted", "reactor" => reactor.clone())
            .set(f64::from(u8::from(halted)));
        if halted == std::mem::replace(&mut self.halted, halted) {
            return;
        }
        if halted {
            tracing::error!(
                reactor,
                parked,
                "halted: it cannot handle events of too many streams, see `nakku dead-letters list`"
            );
        } else {
            tracing::info!(reactor, parked, "goes on");
        }
    }

    /// Waits for what is under way, and saves how far it came.
    async fn finish(mut self, lost: &CancellationToken) -> Ended {
        let deadline = Instant::now() + FINISH_MAX;
        let finishing = async {
            while let Some(job) = self.jobs.join_next().await {
                if let Ok((stream, outcome)) = job {
                    self.settle(stream, outcome);
                }
            }
        };
        tokio::select! {
            _ = timeout_at(deadline, finishing) => {}
            () = lost.cancelled() => return Ended::Fenced,
        }
        self.save_last(deadline).await;
        Ended::Stopped
    }
}

/// What is done about a stream.
enum Task {
    Handle(Queued),
    Park(std::collections::VecDeque<Queued>, Option<String>),
    Retry { upto: i64 },
}
