//! The processes of a run, each behind a proxy of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faults::history::{Answer, Call, Line, now};
use faults::{At, Process, Proxy};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Processes that run at once, and writers of each.
pub(super) const PROCESSES: usize = 4;
pub(super) const WRITERS_EACH: u32 = 4;

/// A process that has been told to end settles what it has begun.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How long a process may take until its store is open, its fault has come, or its calls are answered again. Only reached
/// where something is broken.
const MOVES_WITHIN: Duration = Duration::from_secs(30);

/// How often a process is looked at that is to freeze by itself.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Where the log of a run is.
pub(super) struct Site {
    /// The server's own port.
    pub(super) port: u16,
    /// The address of the database through a port.
    pub(super) url: Box<dyn Fn(u16) -> String>,
}

/// What a writer process is told.
#[derive(Serialize)]
struct Told {
    url: String,
    first_writer: u32,
    writers: u32,
    seed: u64,
    common_seed: u64,
    at: Option<At>,
    keeps_uncommitted_states: bool,
}

/// Writer processes and their replacements.
pub(super) struct Fleet {
    /// One for each place.
    pub(super) proxies: Arc<Vec<Proxy>>,
    urls: Vec<String>,
    members: Vec<Member>,
    replaced: Vec<JoinHandle<Vec<Call>>>,
    started: u32,
    seed: u64,
    keeps_uncommitted_states: bool,
}

/// A running process.
struct Member {
    first_writer: u32,
    orders: mpsc::UnboundedSender<Order>,
    /// When it was last told what became of a request.
    last_verdict: Arc<AtomicU64>,
    calls: JoinHandle<Vec<Call>>,
}

enum Order {
    Freeze,
    Thaw,
    Kill,
    Terminate,
    TellWhenReady(oneshot::Sender<()>),
    TellWhenFrozen(oneshot::Sender<()>),
}

impl Fleet {
    pub(super) async fn start(site: &Site, seed: u64, keeps_uncommitted_states: bool) -> Fleet {
        let mut proxies = Vec::new();
        for _ in 0..PROCESSES {
            proxies.push(Proxy::before(site.port).await);
        }
        let urls = proxies
            .iter()
            .map(|proxy| (site.url)(proxy.port()))
            .collect();
        let mut fleet = Fleet {
            proxies: Arc::new(proxies),
            urls,
            members: Vec::new(),
            replaced: Vec::new(),
            started: 0,
            seed,
            keeps_uncommitted_states,
        };
        for place in 0..PROCESSES {
            let member = fleet.launch(place, None);
            fleet.members.push(member);
        }
        for place in 0..PROCESSES {
            fleet.ready(place).await;
        }
        fleet
    }

    fn launch(&mut self, place: usize, at: Option<At>) -> Member {
        let number = self.started;
        self.started += 1;
        let first_writer = number * WRITERS_EACH;
        let told = Told {
            url: self.urls[place].clone(),
            first_writer,
            writers: WRITERS_EACH,
            seed: self.seed.wrapping_add(u64::from(number) << 32),
            common_seed: self.seed,
            at,
            keeps_uncommitted_states: self.keeps_uncommitted_states,
        };
        let process = Process::start(env!("CARGO_BIN_EXE_faults"), "writer", &told);
        let (orders, received) = mpsc::unbounded_channel();
        let last_verdict = Arc::new(AtomicU64::new(0));
        let following = Following {
            process,
            number,
            calls: Vec::new(),
            open: HashMap::new(),
            last_verdict: last_verdict.clone(),
            is_ready: false,
            when_ready: None,
            when_frozen: None,
        };
        Member {
            first_writer,
            orders,
            last_verdict,
            calls: tokio::spawn(following.run(received)),
        }
    }

    /// Kills the process at a place, if it still runs, and starts another one there.
    pub(super) fn replace(&mut self, place: usize, at: Option<At>) {
        self.order(place, Order::Kill);
        let member = self.launch(place, at);
        let replaced = std::mem::replace(&mut self.members[place], member);
        self.replaced.push(replaced.calls);
    }

    pub(super) fn freeze(&self, place: usize) {
        self.order(place, Order::Freeze);
    }

    pub(super) fn thaw(&self, place: usize) {
        self.order(place, Order::Thaw);
    }

    /// Waits until the store of the process at a place is open.
    pub(super) async fn ready(&self, place: usize) {
        self.told(place, Order::TellWhenReady).await;
    }

    /// Waits until the process at a place is frozen.
    pub(super) async fn frozen(&self, place: usize) {
        self.told(place, Order::TellWhenFrozen).await;
    }

    /// Waits until the process at a place has killed itself.
    pub(super) async fn killed(&self, place: usize) {
        testing::until("the process has killed itself", MOVES_WITHIN, async || {
            self.members[place].calls.is_finished()
        })
        .await;
    }

    /// Waits until the processes at these places get answers that are newer than now.
    pub(super) async fn moving(&self, places: &[usize]) {
        let since = now();
        testing::until("every process gets answers", MOVES_WITHIN, async || {
            places
                .iter()
                .all(|place| self.members[*place].last_verdict.load(Ordering::Relaxed) > since)
        })
        .await;
    }

    /// The writers of all places but one.
    pub(super) fn writers_besides(&self, place: usize) -> Vec<u32> {
        let others = self
            .members
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != place);
        others
            .flat_map(|(_, member)| member.first_writer..member.first_writer + WRITERS_EACH)
            .collect()
    }

    /// Lets every process settle what it has begun, and hands back all calls.
    pub(super) async fn finish(self) -> Vec<Call> {
        let mut calls = Vec::new();
        for place in 0..PROCESSES {
            self.order(place, Order::Terminate);
        }
        let running = self.members.into_iter().map(|member| member.calls);
        for followed in self.replaced.into_iter().chain(running) {
            calls.extend(followed.await.expect("a process is followed to its end"));
        }
        calls
    }

    async fn told(&self, place: usize, order: fn(oneshot::Sender<()>) -> Order) {
        let (sender, told) = oneshot::channel();
        self.order(place, order(sender));
        tokio::time::timeout(MOVES_WITHIN, told)
            .await
            .expect("the process does in time what it was started for")
            .expect("the process has not ended before");
    }

    fn order(&self, place: usize, order: Order) {
        // One that has ended takes no orders.
        let _ = self.members[place].orders.send(order);
    }
}

/// Reads what a process tells, and does to it what is ordered.
struct Following {
    process: Process,
    number: u32,
    calls: Vec<Call>,
    /// Calls without an answer: by number, where they are in `calls`.
    open: HashMap<u64, usize>,
    last_verdict: Arc<AtomicU64>,
    is_ready: bool,
    when_ready: Option<oneshot::Sender<()>>,
    when_frozen: Option<oneshot::Sender<()>>,
}

impl Following {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) -> Vec<Call> {
        let mut is_terminated = false;
        loop {
            tokio::select! {
                line = self.process.told::<Line>() => match line {
                    Some(line) => self.note(line),
                    None => break,
                },
                Some(order) = orders.recv() => {
                    is_terminated |= matches!(order, Order::Terminate);
                    self.obey(order);
                }
                () = tokio::time::sleep(LOOK_EVERY), if self.when_frozen.is_some() => {
                    if self.process.is_frozen() {
                        let told = self.when_frozen.take().expect("asked above");
                        let _ = told.send(());
                    }
                }
            }
        }
        let status = self.process.ended(ENDS_WITHIN).await;
        assert!(
            status.success() || !is_terminated,
            "writer process {} ended by itself: {status}",
            self.number
        );
        self.calls
    }

    fn note(&mut self, line: Line) {
        match line {
            Line::Ready => {
                self.is_ready = true;
                self.tell_when_ready();
            }
            Line::Invoked(invoked) => {
                self.open.insert(invoked.call, self.calls.len());
                self.calls.push(Call {
                    process: self.number,
                    invoked,
                    answered: None,
                });
            }
            Line::Answered { call, at, answer } => {
                if !matches!(answer, Answer::NotDone | Answer::Unknown) {
                    self.last_verdict.store(at, Ordering::Relaxed);
                }
                let index = self
                    .open
                    .remove(&call)
                    .expect("a call is told before its answer");
                self.calls[index].answered = Some((at, answer));
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Freeze => self.process.freeze(),
            Order::Thaw => self.process.thaw(),
            Order::Kill => self.process.kill(),
            Order::Terminate => self.process.terminate(),
            Order::TellWhenReady(told) => {
                self.when_ready = Some(told);
                self.tell_when_ready();
            }
            Order::TellWhenFrozen(told) => self.when_frozen = Some(told),
        }
    }

    fn tell_when_ready(&mut self) {
        if self.is_ready
            && let Some(told) = self.when_ready.take()
        {
            let _ = told.send(());
        }
    }
}
