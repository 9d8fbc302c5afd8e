//! Building a generation from the log beside the live one, comparing the two at one position, and switching.

use std::sync::Arc;

use eventstore::dead_letters;
use read_models::replays::{Replay, State};
use read_models::{Differences, generations};
use tokio_util::task::AbortOnDropHandle;

use super::building::{Building, build, compare};
use super::control::Ended;
use super::owner::Owner;
use super::session::{Live, Session};

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
        fail::fail_point!("replay-begun");
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

    /// Compares the new generation with the live one, and switches where that is asked for. The live one is only
    /// held while the two are brought to one position: a comparison may take long, and queries wait for what
    /// they have written.
    async fn finish(
        &mut self,
        mut building: Building,
        request: Option<&Replay>,
    ) -> anyhow::Result<()> {
        let owner = Arc::clone(&self.owner);
        let is_followed = self.meet(&mut building).await?;
        let mut differences = None;
        if let Some(live) = self.live.generation()
            && is_followed
        {
            comparing(&owner, request).await?;
            let rebuilt = building.generations.live();
            let comparison = owner.begin_comparison(live, rebuilt).await?;
            let job = compare(comparison, building, owner.position.subscribe());
            let mut job = AbortOnDropHandle::new(tokio::spawn(job));
            let Some(compared) = self.follow(&mut job).await? else {
                return Ok(());
            };
            let (compared, found) = compared??;
            building = compared;
            tracing::info!(
                projection = owner.consumer,
                differences = found.count,
                "compared"
            );
            fail::fail_point!("replay-compared");
            differences = Some(found);
        }
        let differs = differences.as_ref().is_some_and(|found| !found.is_empty());
        if let Some(request) = request
            && (request.compare_only || (request.require_equal && differs))
        {
            let number = building.number;
            drop(building);
            return self.keep_live(number, request, differences).await;
        }
        if differences.is_some() {
            self.meet(&mut building).await?;
        }
        self.switch(building, request, differences.as_ref()).await
    }

    /// Holds the live generation where it is and brings the new one to the same position; to the head of the log
    /// where there is none that is followed, which is answered with false.
    async fn meet(&mut self, building: &mut Building) -> anyhow::Result<bool> {
        let held = self.align().await?;
        let target = match held {
            Some(position) => position,
            None => self.owner.store.read_head().await?.position,
        };
        building.complete(target).await?;
        fail::fail_point!("replay-completed");
        Ok(held.is_some())
    }

    /// The new generation was only made for the comparison, or differs and must not.
    async fn keep_live(
        &mut self,
        number: i32,
        request: &Replay,
        differences: Option<Differences>,
    ) -> anyhow::Result<()> {
        let found = differences.as_ref();
        if request.compare_only {
            return self
                .abandon(number, Some(request), State::Compared, found, None)
                .await;
        }
        let count = found.map_or(0, |found| found.count);
        let error = format!("{count} rows differ from the live generation, not switched");
        self.abandon(number, Some(request), State::Failed, found, Some(&error))
            .await
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
        fail::fail_point!("replay-switching");
        transaction.commit().await?;
        fail::fail_point!("replay-switched");
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
        fail::fail_point!("replay-abandoned");
        owner.drop_generation(number).await
    }
}

/// Draws the number of the new generation.
async fn begin(owner: &Owner, request: Option<&Replay>) -> anyhow::Result<i32> {
    let taken = owner.highest_number().await?;
    let mut transaction = owner.transaction().await?;
    let begun = generations::begin_building(&mut *transaction, &owner.consumer, taken).await?;
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
