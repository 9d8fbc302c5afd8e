//! A run: writers and readers on one log, what befalls them, and what they leave behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faults::accounts::open;
use faults::history::now;
use faults::{At, Fault, Postgres, Proxy, Schedule, Stalls};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::evidence::{Evidence, Freeze, read_log};
use super::fleet::{Fleet, PROCESSES, Site};
use super::plants::Plant;
use super::readers::{Manner, Read, follow_feed, follow_statement};

/// Every answer of `append` holds this word: what holds it comes after a commit.
const ANSWER_OF_APPEND: &[u8] = b"head";

/// The points of a batch at which a process is frozen and killed.
const POINTS: [&str; 3] = ["append-decided", LOCKED, "append-committed"];
const LOCKED: &str = "append-locked";

/// How long a process stands still, the machine's own stalls aside. Others must not notice much of it.
const FROZEN_FOR: Duration = Duration::from_secs(3);

/// On a machine that mostly stands still.
const FREEZE_MAX: Duration = Duration::from_secs(60);

/// Connections of orphaned batches end within this time.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);

/// What befell a run.
#[derive(Debug, Default)]
pub(super) struct Survived {
    pub(super) freezes: usize,
    pub(super) kills: usize,
    pub(super) restarts: usize,
    pub(super) cuts: usize,
    pub(super) swallowed: u64,
    pub(super) reader_restarts: usize,
}

/// A run under way.
pub(super) struct Run {
    fleet: Fleet,
    pool: PgPool,
    stalls: Stalls,
    /// Readers that fail now and then go through this one.
    proxy: Arc<Proxy>,
    readers: JoinSet<Read>,
    end: watch::Sender<Option<i64>>,
    beside: JoinSet<()>,
    random: StdRng,
    freezes: Vec<Freeze>,
    survived: Survived,
}

impl Run {
    /// Starts readers and writers.
    pub(super) async fn start(site: &Site, plant: &Plant, seed: u64) -> Run {
        let pool = PgPoolOptions::new()
            .connect_lazy(&(site.url)(site.port))
            .unwrap();
        plant.put_into(&pool).await;
        let mut beside = JoinSet::new();
        if let Some(statement) = plant.second_transaction {
            beside.spawn(repeat(pool.clone(), statement));
        }
        let proxy = Arc::new(Proxy::before(site.port).await);
        let through_proxy = PgPool::connect_lazy(&(site.url)(proxy.port())).unwrap();
        let (end, ended) = watch::channel(None);
        let mut readers = JoinSet::new();
        match plant.reader {
            Some(statement) => {
                readers.spawn(follow_statement(pool.clone(), statement, ended));
            }
            None => {
                let direct = open(pool.clone()).await.unwrap();
                let cut = open(through_proxy).await.unwrap();
                for (index, (store, manner)) in manners(&direct, &cut).into_iter().enumerate() {
                    let seed = seed + u64::try_from(index).unwrap();
                    readers.spawn(follow_feed(store, manner, seed, ended.clone()));
                }
            }
        }
        Run {
            fleet: Fleet::start(site, seed, plant.keeps_uncommitted_states).await,
            stalls: Stalls::watch(&pool.connect_options()).await,
            pool,
            proxy,
            readers,
            end,
            beside,
            random: StdRng::seed_from_u64(seed),
            freezes: Vec::new(),
            survived: Survived::default(),
        }
    }

    /// Does to it what a bad day does, one thing after the other, while connections are cut.
    pub(super) async fn suffer(&mut self, postgres: &mut Postgres, schedule: &Schedule) {
        let cutting = Cutting::begin(&self.fleet, &self.proxy, self.random.random());
        for _ in 0..schedule.times(1, 12) {
            let place = self.random.random_range(0..PROCESSES);
            self.fleet.freeze(place);
            self.stand_still(place, &cutting).await;
            for point in POINTS {
                let place = self.replace(point, Fault::Freeze);
                self.fleet.frozen(place).await;
                self.stand_still(place, &cutting).await;
            }
            for point in POINTS {
                let place = self.replace(point, Fault::Kill);
                self.fleet.killed(place).await;
                self.fleet.replace(place, None);
                self.fleet.ready(place).await;
                self.survived.kills += 1;
            }
            for _ in 0..schedule.times(2, 4) {
                postgres.restart_immediately().await;
                self.survived.restarts += 1;
                self.fleet.moving(&ALL).await;
            }
        }
        self.survived.cuts += cutting.end().await;
    }

    /// Kills a process in the middle of what it does; the next one at its place will meet a fault by itself.
    fn replace(&mut self, point: &str, fault: Fault) -> usize {
        let place = self.random.random_range(0..PROCESSES);
        // Few rounds are decided with the lock in hand.
        let often = if point == LOCKED { 3 } else { 20 };
        let at = At {
            point: point.to_owned(),
            occurrence: self.random.random_range(1..=often),
            fault,
        };
        self.fleet.replace(place, Some(at));
        self.survived.kills += 1;
        place
    }

    /// Notes how the others do while the process at a place is frozen, and thaws it.
    async fn stand_still(&mut self, place: usize, cutting: &Cutting) {
        // Else a cut would be taken for the frozen process's doing.
        cutting.pause(true);
        let others: Vec<usize> = (0..PROCESSES).filter(|other| *other != place).collect();
        let (began, since, stalled_before) = (now(), Instant::now(), self.stalls.so_far());
        let stalled = || self.stalls.so_far() - stalled_before;
        testing::until("it was frozen for long enough", FREEZE_MAX, async || {
            since.elapsed() >= FROZEN_FOR + stalled()
        })
        .await;
        self.freezes.push(Freeze {
            began,
            ended: now(),
            stalled: stalled(),
            others: self.fleet.writers_besides(place),
        });
        self.fleet.thaw(place);
        self.survived.freezes += 1;
        self.fleet.moving(&others).await;
        cutting.pause(false);
    }

    /// Lets everybody end, and gathers what they leave behind.
    pub(super) async fn finish(mut self) -> (Evidence, Survived) {
        let proxies = self.fleet.proxies.clone();
        let calls = self.fleet.finish().await;
        self.survived.swallowed = proxies.iter().map(Proxy::swallowed).sum();
        // What a cut left behind on the server's side ends with the proxies, after whatever it was sent.
        drop(proxies);
        let pool = self.pool;
        testing::until("orphaned batches are settled", SETTLES_WITHIN, async || {
            let left: sqlx::Result<i64> = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and application_name = 'nakku committer'",
            )
            .fetch_one(&pool)
            .await;
            left.is_ok_and(|left| left == 0)
        })
        .await;
        let log = read_log(&pool).await;
        self.end
            .send_replace(Some(log.last().map_or(0, |entry| entry.position)));
        let mut readings = Vec::new();
        for read in self.readers.join_all().await {
            self.survived.reader_restarts += read.restarts;
            readings.push(read.reading);
        }
        self.beside.shutdown().await;
        let evidence = Evidence {
            calls,
            log,
            readings,
            freezes: self.freezes,
        };
        (evidence, self.survived)
    }
}

const ALL: [usize; PROCESSES] = [0, 1, 2, 3];

/// The readers of a run.
fn manners(
    direct: &eventstore::EventStore,
    cut: &eventstore::EventStore,
) -> [(eventstore::EventStore, Manner); 4] {
    let manner = |name, limit, restarted_after| Manner {
        name,
        limit,
        restarted_after,
    };
    let often = Some(Duration::from_millis(40));
    [
        (direct.clone(), manner("steady", 5_000, None)),
        (direct.clone(), manner("by threes", 3, None)),
        (direct.clone(), manner("restarted", 50, often)),
        (cut.clone(), manner("cut and restarted", 100, often)),
    ]
}

async fn repeat(pool: PgPool, statement: &'static str) {
    const EVERY: Duration = Duration::from_millis(100);
    loop {
        tokio::time::sleep(EVERY).await;
        // One that failed is tried again.
        let _ = sqlx::query(statement).execute(&pool).await;
    }
}

/// Cuts connections, at any time and between a call and its answer.
struct Cutting {
    is_paused: Arc<AtomicBool>,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Cutting {
    fn begin(fleet: &Fleet, readers: &Arc<Proxy>, seed: u64) -> Cutting {
        let cutting = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (is_paused, cuts) = cutting.clone();
        let (proxies, readers) = (fleet.proxies.clone(), readers.clone());
        let task = tokio::spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            loop {
                tokio::time::sleep(Duration::from_millis(random.random_range(100..500))).await;
                if is_paused.load(Ordering::Relaxed) {
                    continue;
                }
                let proxy = &proxies[random.random_range(0..PROCESSES)];
                match random.random_range(0..10) {
                    0..7 => proxy.swallow(ANSWER_OF_APPEND),
                    7..9 => {
                        proxy.cut();
                        cuts.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => readers.cut(),
                }
            }
        });
        Cutting {
            is_paused: cutting.0,
            cuts: cutting.1,
            task,
        }
    }

    fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    async fn end(self) -> usize {
        self.task.abort();
        let _ = self.task.await;
        self.cuts.load(Ordering::Relaxed)
    }
}
