//! Group commit under one lock, with the decisions inside the batch.
//!
//! Commands queue here. While one batch is being committed the next one gathers; then its commands are
//! decided in order, each on the states left by those before it, and sent as one call of `append`. Nothing
//! is told before the store has confirmed what it rests on, refusals and no-ops included.
//!
//! Batches are committed on a few *lanes*: while the store works on one batch the next one is decided, sent
//! and parsed, and waits at the lock. A stream is in one lane at a time, so no decision ever rests on a
//! state that may not be committed after all.

mod arguments;
mod batch;
mod failure;
mod in_flight;
mod lane;
mod request;
mod settle;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub(crate) use self::in_flight::{InFlight, Registry};
use self::lane::Lane;
pub(crate) use self::request::{Claim, Decide, Decision, Reply, Request};
use self::waiting::{Streams, Waiting};
use crate::state::StateCache;

/// Commands decided in one batch. More would not be faster and would make the first of them wait.
const BATCH_COMMANDS_MAX: usize = 512;

/// Commands taken from the queue that wait for their streams or a lane: the next batches, and no more, so
/// that a full queue is noticed by those who fill it.
const WAITING_MAX: usize = 4 * BATCH_COMMANDS_MAX;

/// Batches under way at once: one in the store's hands, one that waits at its lock.
const LANES: usize = 2;

/// While a batch is under way a second one is worth its own round trip and sync only from this size on;
/// smaller ones gather.
const SECOND_BATCH_COMMANDS_MIN: usize = 32;

/// How long the next commands of those who were just answered are waited for. A fraction of what a batch costs, which is
/// paid once less if they all come along.
const GATHER_MAX: Duration = Duration::from_micros(100);

/// One per process: the only one who appends.
pub(crate) struct Committer {
    idle: Vec<Lane>,
    running: JoinSet<Settled>,
    waiting: Waiting,
    /// Commands answered by the batch settled last.
    answered: usize,
    /// How long their callers' next ones are waited for.
    gather_until: Instant,
}

/// A lane that has settled its batch.
struct Settled {
    lane: Lane,
    streams: Streams,
    answered: usize,
    /// To be decided again, ahead of newer commands.
    again: Vec<Request>,
}

impl Committer {
    pub(crate) fn new(
        pool: &PgPool,
        cache: &Arc<StateCache>,
        head: &Arc<watch::Sender<i64>>,
    ) -> Self {
        Self {
            idle: (0..LANES)
                .map(|_| Lane::new(pool.clone(), cache.clone(), head.clone()))
                .collect(),
            running: JoinSet::new(),
            waiting: Waiting::default(),
            answered: 0,
            gather_until: Instant::now(),
        }
    }

    /// Runs until every sender of the queue is gone and what it held is settled.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut open = true;
        let mut received = Vec::new();
        loop {
            self.start_batches();
            let room = WAITING_MAX.saturating_sub(self.waiting.len());
            tokio::select! {
                settled = self.running.join_next(), if !self.running.is_empty() => {
                    self.take_back(settled.expect("not empty").expect("a lane does not panic"));
                }
                count = queue.recv_many(&mut received, room), if open && room > 0 => open = count > 0,
                else => return,
            }
            self.gather(&mut queue, &mut received, room).await;
            self.waiting.extend(received.drain(..));
        }
    }

    /// Those who were just answered get to send their next command: fuller batches at hardly any wait.
    async fn gather(
        &self,
        queue: &mut mpsc::Receiver<Request>,
        received: &mut Vec<Request>,
        room: usize,
    ) {
        loop {
            tokio::task::yield_now().await;
            while received.len() < room
                && let Ok(request) = queue.try_recv()
            {
                received.push(request);
            }
            let waiting = self.waiting.len() + received.len();
            if waiting == 0
                || waiting >= self.answered.min(room)
                || Instant::now() >= self.gather_until
            {
                return;
            }
        }
    }

    fn take_back(&mut self, settled: Settled) {
        self.answered = settled.answered;
        self.gather_until = Instant::now() + GATHER_MAX;
        self.waiting.give_back(settled.again, &settled.streams);
        self.idle.push(settled.lane);
    }

    fn start_batches(&mut self) {
        while let Some(mut lane) = self.idle.pop() {
            let batch_min = match self.running.len() {
                0 => 1,
                _ => SECOND_BATCH_COMMANDS_MIN,
            };
            let Some((mut requests, streams)) = self.waiting.take(batch_min, BATCH_COMMANDS_MAX)
            else {
                self.idle.push(lane);
                return;
            };
            requests.retain(|request| request.claim.begin());
            self.running.spawn(async move {
                let commands = requests.len();
                let again = lane.commit(requests).await;
                Settled {
                    lane,
                    streams,
                    answered: commands - again.len(),
                    again,
                }
            });
        }
    }
}
