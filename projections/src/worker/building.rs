//! A generation under construction.

use std::sync::Arc;

use eventstore::{Checkpoint, RunError, Runner, RunnerOptions, StoreFeed};
use read_models::Differences;
use read_models::replays::Replay;
use tokio::sync::watch;

use super::comparison::Comparison;
use super::feed::Bounded;
use super::owner::Owner;
use super::progress::Progress;
use crate::generations::Generations;

/// Events of a page: the next one is read while this one is projected.
const PAGE_EVENTS: usize = 5_000;

/// This near to the live generation, that one is held: what remains takes a fraction of a second.
const NEAR_EVENTS: i64 = 1_000;

/// A generation under construction, with what reads the log for it.
pub(crate) struct Building {
    owner: Arc<Owner>,
    pub(crate) number: i32,
    /// The only one it writes: a rebuild is followed by none.
    pub(crate) generations: Generations,
    runner: Runner,
    feed: Bounded,
    pub(crate) progress: Progress,
}

/// Builds from the log until the live generation is near, or the head of the log where there is none.
pub(crate) async fn build(
    owner: Arc<Owner>,
    number: i32,
    live: Option<watch::Receiver<i64>>,
    request: Option<Replay>,
) -> anyhow::Result<Building> {
    let generation = owner.create(number).await?;
    fail::fail_point!("replay-created");
    let feed = StoreFeed::open(&owner.store, Checkpoint::START).await?;
    let options = RunnerOptions {
        batch_max: PAGE_EVENTS,
        parks_with: owner.model.parks_with(),
        discards_of: vec![owner.consumer.clone()],
        metrics_name: None,
    };
    let lease = Arc::clone(&owner.lease);
    let mut building = Building {
        number,
        generations: Generations::new(generation, None, Arc::default(), lease),
        runner: Runner::new(owner.store.clone(), owner.rebuild_consumer(), options),
        feed: Bounded::new(Box::new(feed), 0),
        progress: Progress::new(&owner, request),
        owner,
    };
    building.approach(live.as_ref()).await?;
    Ok(building)
}

/// Compares, and then follows the live generation, which went on meanwhile, until it is near again.
pub(crate) async fn compare(
    comparison: Comparison,
    mut building: Building,
    live: watch::Receiver<i64>,
) -> anyhow::Result<(Building, Differences)> {
    let found = comparison.run().await?;
    building.approach(Some(&live)).await?;
    Ok((building, found))
}

impl Building {
    /// Goes on until the live generation is near, or the head of the log where there is none.
    async fn approach(&mut self, live: Option<&watch::Receiver<i64>>) -> anyhow::Result<()> {
        let mut durable = false;
        loop {
            // A live generation beyond the head is one that has not noticed yet that the log was rewound.
            let mut target = self.owner.store.read_head().await?.position;
            if let Some(live) = live {
                target = target.min(*live.borrow());
            }
            let position = self.position();
            self.progress.report(position, target).await;
            if target - position <= NEAR_EVENTS {
                if durable {
                    return Ok(());
                }
                // A commit of all that an index has put may take seconds, for which the live one must not be held.
                self.generations.flush().await?;
                durable = true;
                continue;
            }
            self.feed.bound_to(target);
            self.step().await?;
            fail::fail_point!("replay-page");
        }
    }

    pub(crate) fn position(&self) -> i64 {
        self.generations.live().checkpoint().position
    }

    async fn step(&mut self) -> Result<(), RunError> {
        self.runner
            .step(&mut self.feed, &mut self.generations)
            .await?;
        Ok(())
    }

    /// Goes to exactly this position, and makes durable what it has.
    pub(crate) async fn complete(&mut self, target: i64) -> anyhow::Result<()> {
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
