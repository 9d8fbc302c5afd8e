//! Following the log with the generations of a read model.

use std::sync::Arc;

use eventstore::{RunError, Runner, RunnerOptions};
use tokio_util::sync::CancellationToken;

use super::feed::Bounded;
use super::owner::Owner;
use crate::generation::Generation;
use crate::generations::Generations;

pub(crate) struct Follower {
    owner: Arc<Owner>,
    pub(crate) generations: Generations,
    following: Option<(Runner, Bounded)>,
}

impl Follower {
    pub(crate) fn new(owner: &Arc<Owner>, generations: Generations) -> Self {
        Self {
            owner: Arc::clone(owner),
            generations,
            following: None,
        }
    }

    /// The live generation's position.
    pub(crate) fn position(&self) -> i64 {
        self.generations.live().checkpoint().position
    }

    /// Opens the feed where it is not open, or has handed out what was never handled because work was broken
    /// off in between.
    pub(crate) async fn ready(&mut self) -> Result<(), RunError> {
        let checkpoint = self.generations.earliest();
        let usable = |feed: &Bounded| feed.delivered() == checkpoint.position;
        if self
            .following
            .as_ref()
            .is_some_and(|(_, feed)| usable(feed))
        {
            return Ok(());
        }
        self.following = None;
        let Owner {
            feeds, consumer, ..
        } = &*self.owner;
        let feed = feeds.open(consumer, checkpoint).await?;
        self.following = Some((self.runner(), Bounded::new(feed, checkpoint.position)));
        Ok(())
    }

    fn runner(&self) -> Runner {
        let Owner {
            store,
            consumer,
            model,
            ..
        } = &*self.owner;
        let options = RunnerOptions {
            parks_with: model.parks_with(),
            metrics_name: Some(model.name().to_owned()),
            ..RunnerOptions::default()
        };
        Runner::new(store.clone(), consumer.clone(), options)
    }

    /// Follows until `halt`; a batch under way is finished.
    pub(crate) async fn run(&mut self, halt: &CancellationToken) -> Result<(), RunError> {
        self.ready().await?;
        match &mut self.following {
            Some((runner, feed)) => runner.run(feed, &mut self.generations, halt.clone()).await,
            None => Ok(()),
        }
    }

    /// Takes up what operators asked for and goes to exactly this position.
    pub(crate) async fn catch_up(&mut self, target: i64) -> Result<(), RunError> {
        self.ready().await?;
        if let Some((runner, feed)) = &mut self.following {
            runner.look_for_requests();
            feed.bound_to(target);
            loop {
                let step = runner.step(feed, &mut self.generations).await?;
                if step.position >= target {
                    break;
                }
            }
            feed.unbound();
        }
        Ok(())
    }

    /// Puts a rebuilt generation, which stands where the live one does, in its place. The feed goes on.
    pub(crate) fn switch(&mut self, rebuilt: Box<dyn Generation>) {
        self.generations.switch(rebuilt);
        if let Some((_, feed)) = self.following.take() {
            // A new runner reads anew what is parked: that came with the rebuilt generation.
            self.following = Some((self.runner(), feed));
        }
    }
}
