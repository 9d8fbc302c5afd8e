//! What an owner does from one trouble to the next: follow, and carry out what is asked for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use eventstore::{FeedError, RunError};
use read_models::generations;
use read_models::replays::{Kind, Replay, State};
use tokio_util::sync::CancellationToken;

use super::control::Ended;
use super::follower::Follower;
use super::owner::Owner;
use crate::generation::{Generation, OpenError};
use crate::generations::{Generations, Watched};
use crate::recorded::one_line;

/// How soon a follower that stopped for a reason that waiting hardly mends is tried again.
const STOPPED_RETRY: Duration = Duration::from_secs(10);

/// Longest wait at the end for a batch under way; what is broken off has no effect, and comes again.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// How long an owner works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Stopped,
    /// Nothing is asked for, and the head of the log as of then is reached.
    Idle,
}

/// The live generation.
pub(crate) enum Live {
    Following(Box<Follower>),
    /// Never built, of another shape, or damaged: to be built from the log.
    Unbuilt,
    /// Cannot be followed, for the reason in the row.
    Stopped,
}

pub(crate) struct Session {
    pub(crate) owner: Arc<Owner>,
    pub(crate) live: Live,
    paused: bool,
}

/// What ended a stretch of following.
enum Event<T> {
    Stop,
    Until(T),
    Paused,
    Halted,
    Failed(RunError),
    Retry,
}

impl Session {
    /// Opens the generations where they were left.
    pub(crate) async fn open(owner: &Arc<Owner>) -> anyhow::Result<Self> {
        let mut session = Self {
            owner: Arc::clone(owner),
            live: Live::Unbuilt,
            paused: false,
        };
        session.open_live().await?;
        Ok(session)
    }

    pub(crate) async fn serve(mut self, until: Until) -> anyhow::Result<()> {
        while !self.owner.stop.is_cancelled() {
            if let Some(request) = self.owner.request().await? {
                self.carry_out(request).await?;
            } else if self.is_to_be_built() {
                self.rebuild(None).await?;
            } else if until == Until::Idle {
                return self.catch_up().await;
            } else {
                let owner = Arc::clone(&self.owner);
                let unbuilt = matches!(self.live, Live::Unbuilt);
                self.follow(owner.work_to_do(unbuilt)).await?;
                self.paused = self.owner.registration().await?.paused;
            }
        }
        Ok(())
    }

    fn is_to_be_built(&self) -> bool {
        matches!(self.live, Live::Unbuilt) && !self.paused
    }

    /// Opens what the row names, where it left off.
    pub(crate) async fn open_live(&mut self) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        let registration = self.owner.registration().await?;
        self.paused = registration.paused;
        self.live = Live::Unbuilt;
        let shape = owner.model.shape();
        let (Some(number), true) = (registration.live, registration.is_live_in(shape)) else {
            return Ok(());
        };
        let live = match owner.open(number).await {
            Ok(live) => live,
            Err(OpenError::Damaged(reason)) => {
                tracing::error!(
                    projection = owner.consumer,
                    reason,
                    "building anew from the log"
                );
                return Ok(());
            }
            Err(OpenError::Other(error)) => return Err(error),
        };
        let previous = match registration.previous {
            Some(number) if registration.previous_shape.as_deref() == Some(shape) => {
                open_previous(&owner, number).await?
            }
            // One of another shape stays as it is.
            Some(_) | None => None,
        };
        let mut transaction = owner.transaction().await?;
        owner.locate(&mut transaction, number).await?;
        transaction.commit().await?;
        let (position, lease) = (Arc::clone(&owner.position), Arc::clone(&owner.lease));
        let generations = Generations::new(live, previous, position, lease);
        let mut follower = Follower::new(&owner, generations);
        let ready = follower.ready().await;
        self.live = Live::Following(Box::new(follower));
        match ready {
            Ok(()) => Ok(()),
            Err(error) => self.failed(error).await,
        }
    }

    /// Follows, if there is what to follow and it is not paused, until something else is done. None when the
    /// owner has to stop.
    pub(crate) async fn follow<T>(
        &mut self,
        until: impl Future<Output = T>,
    ) -> anyhow::Result<Option<T>> {
        let owner = Arc::clone(&self.owner);
        tokio::pin!(until);
        loop {
            let paused = self.paused;
            let halt = CancellationToken::new();
            let house = owner.keep_house(self.live.watched(paused));
            let event = {
                let following = self.live.run(paused, &halt);
                tokio::pin!(following);
                let event = tokio::select! {
                    biased;
                    () = owner.stop.cancelled() => Event::Stop,
                    value = &mut until => Event::Until(value),
                    () = owner.paused_is_not(paused) => Event::Paused,
                    () = house => Event::Stop,
                    event = &mut following => event,
                };
                match &event {
                    Event::Halted | Event::Failed(_) | Event::Retry => {}
                    Event::Stop | Event::Until(_) | Event::Paused => {
                        halt.cancel();
                        finish(&owner, following).await;
                    }
                }
                event
            };
            match event {
                Event::Stop => return Ok(None),
                Event::Until(value) => return Ok(Some(value)),
                Event::Paused => self.paused = !paused,
                Event::Halted => {}
                Event::Failed(error) => self.failed(error).await?,
                Event::Retry => self.open_live().await?,
            }
        }
    }

    /// Sorts what ended the follower: beginning anew may help, or an operator has to.
    pub(crate) async fn failed(&mut self, error: RunError) -> anyhow::Result<()> {
        match error {
            RunError::Fenced(reason) => Err(anyhow!(reason)),
            RunError::Feed(FeedError::Database(_)) => Err(error.into()),
            RunError::Feed(
                FeedError::Rewound { .. } | FeedError::Hole { .. } | FeedError::Kafka(_),
            )
            | RunError::TooManyParked { .. } => {
                self.owner.fail(&one_line(&error)).await;
                self.live = Live::Stopped;
                Ok(())
            }
        }
    }

    /// Brings the generations to the head of the log as of now.
    async fn catch_up(&mut self) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        if self.paused {
            return Ok(());
        }
        let Live::Following(follower) = &mut self.live else {
            let failure = self.owner.registration().await?.failure;
            anyhow::bail!(
                failure.unwrap_or_else(|| "the read model cannot be followed".to_owned())
            );
        };
        let head = owner.store.read_head().await?;
        let reached = owner
            .stop
            .run_until_cancelled(follower.catch_up(head.position))
            .await;
        match reached {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(error.into()),
            None => return Ok(()),
        }
        let generations = &follower.generations;
        let followed = std::iter::once(generations.live()).chain(generations.previous());
        let positions: Vec<_> = followed.map(|it| (it.number(), it.checkpoint())).collect();
        owner.mirror(&positions).await?;
        owner.set_failure(None).await
    }

    /// Brings the generation before to where the live one stands, and returns that position; none where there
    /// is nothing that can be followed.
    pub(crate) async fn align(&mut self) -> anyhow::Result<Option<i64>> {
        let Live::Following(follower) = &mut self.live else {
            return Ok(None);
        };
        let checkpoint = follower.generations.live().checkpoint();
        let position = checkpoint.position;
        let caught_up = if checkpoint.is_in_log(self.owner.store.pool()).await? {
            follower.catch_up(position).await
        } else {
            // It would have noticed by itself in a moment.
            Err(FeedError::Rewound { position }.into())
        };
        match caught_up {
            Ok(()) => Ok(Some(position)),
            Err(error) => {
                self.failed(error).await?;
                Ok(None)
            }
        }
    }

    async fn carry_out(&mut self, request: Replay) -> anyhow::Result<()> {
        match request.kind {
            Kind::Replay => self.rebuild(Some(request)).await,
            Kind::Rollback => self.roll_back(&request).await,
        }
    }

    /// Swaps the live generation and the one before, which both stand at the same position.
    async fn roll_back(&mut self, request: &Replay) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        let shape = owner.model.shape();
        self.align().await?;
        let mut transaction = owner.transaction().await?;
        let live = match generations::rollback(&mut transaction, &owner.consumer, shape).await {
            Ok(live) => live,
            Err(generations::Error::Database(error)) => return Err(error.into()),
            Err(
                error @ (generations::Error::Unknown { .. }
                | generations::Error::NotBuilding { .. }
                | generations::Error::NoPrevious { .. }
                | generations::Error::OtherShape { .. }),
            ) => {
                let error = error.to_string();
                let ended = Ended {
                    state: State::Failed,
                    differences: None,
                    error: Some(&error),
                };
                owner.end(&mut transaction, Some(request), ended).await?;
                return Ok(transaction.commit().await?);
            }
        };
        let ended = Ended {
            state: State::RolledBack,
            differences: None,
            error: None,
        };
        owner.end(&mut transaction, Some(request), ended).await?;
        owner.locate(&mut transaction, live).await?;
        fail::fail_point!("replay-rolling-back");
        transaction.commit().await?;
        fail::fail_point!("replay-rolled-back");
        tracing::info!(
            projection = owner.consumer,
            generation = live,
            "rolled back"
        );
        let followed = match &mut self.live {
            Live::Following(follower) => follower.generations.roll_back(),
            Live::Unbuilt | Live::Stopped => false,
        };
        if !followed {
            self.open_live().await?;
        }
        Ok(())
    }
}

impl Live {
    /// The one that can be compared with.
    pub(crate) fn generation(&self) -> Option<&dyn Generation> {
        match self {
            Self::Following(follower) => Some(follower.generations.live()),
            Self::Unbuilt | Self::Stopped => None,
        }
    }

    async fn run<T>(&mut self, paused: bool, halt: &CancellationToken) -> Event<T> {
        match self {
            Self::Following(follower) if !paused => match follower.run(halt).await {
                Ok(()) => Event::Halted,
                Err(error) => Event::Failed(error),
            },
            Self::Stopped if !paused => tokio::select! {
                () = tokio::time::sleep(STOPPED_RETRY) => Event::Retry,
                () = halt.cancelled() => Event::Halted,
            },
            Self::Following(_) | Self::Unbuilt | Self::Stopped => {
                halt.cancelled().await;
                Event::Halted
            }
        }
    }

    fn watched(&self, paused: bool) -> Watched {
        match self {
            Self::Following(follower) if !paused => follower.generations.watched(),
            Self::Following(_) | Self::Unbuilt | Self::Stopped => Watched::default(),
        }
    }
}

/// Opens the generation before the live one; without it there is no way back.
async fn open_previous(owner: &Owner, number: i32) -> anyhow::Result<Option<Box<dyn Generation>>> {
    let reason = match owner.open(number).await {
        Ok(previous) => {
            let checkpoint = previous.checkpoint();
            if checkpoint.is_in_log(owner.store.pool()).await? {
                return Ok(Some(previous));
            }
            // It holds what the log does not hold any more, and following on would not take that away.
            let position = checkpoint.position;
            format!("the log was rewound below its position {position}")
        }
        Err(OpenError::Damaged(reason)) => reason,
        Err(OpenError::Other(error)) => return Err(error),
    };
    tracing::warn!(
        projection = owner.consumer,
        reason,
        "there is no way back to the generation before"
    );
    owner.forget_previous().await?;
    Ok(None)
}

/// Waits for the batch under way, but not for long at the end, and not at all once the lease is lost.
async fn finish<T>(owner: &Owner, following: impl Future<Output = Event<T>>) {
    let too_long = async {
        owner.stop.cancelled().await;
        tokio::time::sleep(FINISH_MAX).await;
    };
    tokio::select! {
        _ = following => {}
        () = owner.lease.lost().cancelled() => {}
        () = too_long => {}
    }
}
