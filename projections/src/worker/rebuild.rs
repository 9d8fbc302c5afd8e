//! Building a generation from the log beside the live one, comparing the two at one position, and switching.

use std::sync::Arc;
use std::time::Duration;

use eventstore::{Checkpoint, RunError, Runner, RunnerOptions, StoreFeed, dead_letters};
use read_models::replays::{Replay, State};
use read_models::{Differences, generations};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::control::Ended;
use super::feed::Bounded;
use super::owner::Owner;
use super::session::{Live, Session};
use crate::generations::Generations;

/// Events of a page: the next one is read while this one is projected.
const PAGE_EVENTS: usize = 5_000;

/// This near to the live generation, that one is held: what remains takes a fraction of a second.
const NEAR_EVENTS: i64 = 1_000;

/// Least time between two writes of the progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(300);

/// A generation under construction, with what reads the log for it.
struct Building {
    owner: Arc<Owner>,
    number: i32,
    /// The only one it writes: a rebuild is followed by none.
    generations: Generations,
    runner: Runner,
    feed: Bounded,
    progress: Progress,
}

impl Session {
    /// Builds a generation from the log and puts it in the place of the live one, unless the request says
    /// otherwise. The live one goes on meanwhile.
    pub(crate) async fn rebuild(&mut self, request: Option<Replay>) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        let following = matches!(self.live, Live::Following(_));
        if !following && request.as_ref().is_some_and(|request| request.compare_only) {
            let error = "there is no live generation to compare with";
            return self.refuse(request.as_ref(), error).await;
        }
        owner.drop_unregistered().await?;
        let number = begin(&owner, request.as_ref()).await?;
        tracing::info!(
            projection = owner.consumer,
            generation = number,
            "building from the log"
        );
        let live = following.then(|| owner.position.subscribe());
        let job = build(Arc::clone(&owner), number, live, request.clone());
        let mut job = AbortOnDropHandle::new(tokio::spawn(job));
        let Some(built) = self.follow(&mut job).await? else {
            return Ok(());
        };
        let finished = match built? {
            Ok(building) => {
                let stop = owner.stop.clone();
                let finishing = self.finish(building, request.as_ref());
                stop.run_until_cancelled(finishing).await.unwrap_or(Ok(()))
            }
            Err(error) => Err(error),
        };
        match finished {
            Err(error) if !owner.stop.is_cancelled() && request.is_some() => {
                let error = format!("{error:#}");
                self.abandon(number, request.as_ref(), State::Failed, None, Some(&error))
                    .await
            }
            finished => finished,
        }
    }

    /// Holds the live generation where it is and brings the new one to the same position.
    async fn finish(
        &mut self,
        mut building: Building,
        request: Option<&Replay>,
    ) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        let held = self.align().await?;
        let target = match held {
            Some(position) => position,
            None => owner.store.read_head().await?.position,
        };
        building.complete(target).await?;
        let mut differences = None;
        if let Some(live) = self.live.generation()
            && held.is_some()
        {
            comparing(&owner, request).await?;
            let found = owner.compare(live, building.generations.live()).await?;
            tracing::info!(
                projection = owner.consumer,
                differences = found.count,
                "compared"
            );
            differences = Some(found);
        }
        let number = building.number;
        let differs = differences.as_ref().is_some_and(|found| !found.is_empty());
        match request {
            Some(request) if request.compare_only => {
                drop(building);
                self.abandon(
                    number,
                    Some(request),
                    State::Compared,
                    differences.as_ref(),
                    None,
                )
                .await
            }
            Some(request) if request.require_equal && differs => {
                drop(building);
                let count = differences.as_ref().map_or(0, |found| found.count);
                let error = format!("{count} rows differ from the live generation, not switched");
                let (found, error) = (differences.as_ref(), error.as_str());
                self.abandon(number, Some(request), State::Failed, found, Some(error))
                    .await
            }
            Some(_) | None => self.switch(building, request, differences.as_ref()).await,
        }
    }

    /// Makes the new generation the live one, by one row.
    async fn switch(
        &mut self,
        building: Building,
        request: Option<&Replay>,
        differences: Option<&Differences>,
    ) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        let (number, position) = (building.number, building.position());
        let mut transaction = owner.transaction().await?;
        let (name, shape) = (&owner.consumer, owner.model.shape());
        generations::switch(&mut *transaction, name, number, shape).await?;
        dead_letters::hand_on(&mut transaction, &owner.rebuild_consumer(), name).await?;
        owner.locate(&mut transaction, number).await?;
        let ended = Ended {
            state: State::Switched,
            differences,
            error: None,
        };
        owner.end(&mut transaction, request, ended).await?;
        transaction.commit().await?;
        tracing::info!(projection = name, generation = number, position, "switched");
        building.progress.set_ratio(1.0);
        let rebuilt = building.generations.into_live();
        owner.mirror(&[(number, rebuilt.checkpoint())]).await?;
        match &mut self.live {
            Live::Following(follower) if follower.position() == position => {
                follower.switch(rebuilt);
                Ok(())
            }
            Live::Following(_) | Live::Unbuilt | Live::Stopped => {
                // Gives the directory of an index back before it is opened again.
                drop(rebuilt);
                self.open_live().await
            }
        }
    }

    async fn refuse(&mut self, request: Option<&Replay>, error: &str) -> anyhow::Result<()> {
        let mut transaction = self.owner.transaction().await?;
        let ended = Ended {
            state: State::Failed,
            differences: None,
            error: Some(error),
        };
        self.owner.end(&mut transaction, request, ended).await?;
        Ok(transaction.commit().await?)
    }

    /// Gives the new generation up; the live one stays.
    async fn abandon(
        &mut self,
        number: i32,
        request: Option<&Replay>,
        state: State,
        differences: Option<&Differences>,
        error: Option<&str>,
    ) -> anyhow::Result<()> {
        let owner = &self.owner;
        let mut transaction = owner.transaction().await?;
        generations::cancel_building(&mut *transaction, &owner.consumer).await?;
        let ended = Ended {
            state,
            differences,
            error,
        };
        owner.end(&mut transaction, request, ended).await?;
        sqlx::query("delete from dead_letters where consumer = $1")
            .bind(owner.rebuild_consumer())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        owner.drop_generation(number).await
    }
}

/// Draws the number of the new generation.
async fn begin(owner: &Owner, request: Option<&Replay>) -> anyhow::Result<i32> {
    let mut transaction = owner.transaction().await?;
    let begun = generations::begin_building(&mut *transaction, &owner.consumer).await?;
    if let Some(request) = request {
        sqlx::query("update replays set state = 'running', generation = $2 where id = $1")
            .bind(request.id)
            .bind(begun.generation)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(begun.generation)
}

async fn comparing(owner: &Owner, request: Option<&Replay>) -> anyhow::Result<()> {
    if let Some(request) = request {
        let mut transaction = owner.transaction().await?;
        sqlx::query("update replays set state = 'comparing' where id = $1")
            .bind(request.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Builds from the log until the live generation is near, or the head of the log where there is none.
async fn build(
    owner: Arc<Owner>,
    number: i32,
    live: Option<watch::Receiver<i64>>,
    request: Option<Replay>,
) -> anyhow::Result<Building> {
    let generation = owner.create(number).await?;
    let feed = StoreFeed::open(&owner.store, Checkpoint::START).await?;
    let options = RunnerOptions {
        batch_max: PAGE_EVENTS,
        discards_of: vec![owner.consumer.clone()],
        metrics_name: None,
    };
    let mut building = Building {
        number,
        generations: Generations::new(generation, None, Arc::default()),
        runner: Runner::new(owner.store.clone(), owner.rebuild_consumer(), options),
        feed: Bounded::new(Box::new(feed), 0),
        progress: Progress::new(&owner, request),
        owner,
    };
    let head = building.owner.store.head();
    loop {
        let target = match &live {
            Some(live) => *live.borrow(),
            None => *head.borrow(),
        };
        let position = building.position();
        building.progress.report(position, target).await;
        if target - position <= NEAR_EVENTS {
            return Ok(building);
        }
        building.feed.bound_to(target);
        building.step().await?;
    }
}

impl Building {
    fn position(&self) -> i64 {
        self.generations.live().checkpoint().position
    }

    async fn step(&mut self) -> Result<(), RunError> {
        self.runner
            .step(&mut self.feed, &mut self.generations)
            .await?;
        Ok(())
    }

    /// Goes to exactly this position, and makes durable what it has.
    async fn complete(&mut self, target: i64) -> anyhow::Result<()> {
        self.feed.bound_to(target);
        while self.position() < target {
            self.step().await?;
            self.progress.report(self.position(), target).await;
        }
        self.retry_parked().await?;
        self.generations.flush().await?;
        self.progress.finish(self.position(), target).await;
        Ok(())
    }

    /// What the live generation could handle after all, because an operator mended it meanwhile, this one can
    /// now as well.
    async fn retry_parked(&mut self) -> anyhow::Result<()> {
        let retried = sqlx::query(
            "update dead_letters set state = 'retry' where consumer = $1 and state = 'parked'",
        )
        .bind(self.owner.rebuild_consumer())
        .execute(self.owner.store.pool())
        .await?;
        if retried.rows_affected() > 0 {
            self.runner.look_for_requests();
            self.step().await?;
        }
        Ok(())
    }
}

/// How far a rebuild is, for operators.
struct Progress {
    owner: Arc<Owner>,
    request: Option<Replay>,
    began: Instant,
    written: Option<Instant>,
}

impl Progress {
    fn new(owner: &Arc<Owner>, request: Option<Replay>) -> Self {
        Self {
            owner: Arc::clone(owner),
            request,
            began: Instant::now(),
            written: None,
        }
    }

    /// Writes the progress down, unless that was done just now.
    async fn report(&mut self, position: i64, target: i64) {
        if self
            .written
            .is_none_or(|written| written.elapsed() >= PROGRESS_INTERVAL)
        {
            self.finish(position, target).await;
        }
    }

    // Positions are far below 2^53: exact as floats.
    #[expect(clippy::cast_precision_loss)]
    async fn finish(&mut self, position: i64, target: i64) {
        self.written = Some(Instant::now());
        let ratio = if target > 0 {
            position as f64 / target as f64
        } else {
            1.0
        };
        self.set_ratio(ratio.min(1.0));
        let Some(request) = &self.request else {
            return;
        };
        let rate = position as f64 / self.began.elapsed().as_secs_f64().max(0.001);
        let written = sqlx::query(
            "update replays set position = $2, target = $3, rate = $4
             where id = $1 and exists (select from leases where name = $5 and epoch = $6)",
        )
        .bind(request.id)
        .bind(position)
        .bind(target)
        .bind(rate)
        .bind(self.owner.lease.name())
        .bind(self.owner.lease.epoch())
        .execute(self.owner.store.pool())
        .await;
        if let Err(error) = written {
            tracing::debug!(%error, "progress not written");
        }
    }

    fn set_ratio(&self, ratio: f64) {
        let projection = self.owner.model.name();
        metrics::gauge!("nakku_replay_progress_ratio", "projection" => projection).set(ratio);
    }
}
