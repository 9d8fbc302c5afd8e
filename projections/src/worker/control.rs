//! What operators ask of the owner, as rows: pause, replay, rollback. Looked at twice a second.

use std::time::Duration;

use read_models::replays::{self, Replay, State};
use read_models::{Differences, generations};
use sqlx::PgTransaction;
use sqlx::types::Json;
use tokio::time::Instant;

use super::owner::Owner;
use crate::generations::{Standing, Watched};

/// Between two looks at the rows: what is asked for is taken up within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often what operators see is brought up to date.
const MIRROR_INTERVAL: Duration = Duration::from_secs(1);

/// After a take-over readers of an index have this long to open the new directory.
const READERS_GRACE: Duration = Duration::from_secs(10);

/// Without trouble for this long, a failure is over.
const RECOVERED_AFTER: Duration = Duration::from_secs(2);

/// How a request ended.
pub(crate) struct Ended<'a> {
    pub(crate) state: State,
    pub(crate) differences: Option<&'a Differences>,
    pub(crate) error: Option<&'a str>,
}

impl Owner {
    /// What waits to be carried out.
    pub(crate) async fn request(&self) -> sqlx::Result<Option<Replay>> {
        let unfinished = replays::unfinished(self.store.pool(), &self.consumer).await?;
        Ok(unfinished.filter(|replay| replay.state == State::Requested))
    }

    /// Waits until there is work besides following: a request, or, where `unbuilt`, the leave to build.
    pub(crate) async fn work_to_do(&self, unbuilt: bool) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            match self.request().await {
                Ok(Some(_)) => return,
                Ok(None) if unbuilt && self.is_paused().await == Some(false) => return,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "requests not read"),
            }
        }
    }

    /// Waits until the flag is another one.
    pub(crate) async fn paused_is_not(&self, paused: bool) {
        while self.is_paused().await.is_none_or(|now| now == paused) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn is_paused(&self) -> Option<bool> {
        match generations::read(self.store.pool(), &self.consumer).await {
            Ok(registration) => registration.map(|it| it.paused),
            Err(error) => {
                tracing::debug!(%error, "projection not read");
                None
            }
        }
    }

    /// Whatever the owner before began and did not end is begun anew: it may have been another program.
    pub(crate) async fn take_over(&self) -> anyhow::Result<()> {
        let mut transaction = self.transaction().await?;
        generations::ensure(&mut *transaction, &self.consumer).await?;
        generations::cancel_building(&mut *transaction, &self.consumer).await?;
        sqlx::query(
            "update replays set state = 'requested', generation = null, position = 0, rate = 0
             where projection = $1 and state in ('running', 'comparing')",
        )
        .bind(&self.consumer)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Ends a request in the transaction of what it led to.
    pub(crate) async fn end(
        &self,
        transaction: &mut PgTransaction<'_>,
        request: Option<&Replay>,
        ended: Ended<'_>,
    ) -> sqlx::Result<()> {
        let Some(request) = request else {
            return Ok(());
        };
        sqlx::query(
            "update replays set state = $2, differences = $3, error = $4,
                    finished_at = clock_timestamp()
             where id = $1",
        )
        .bind(request.id)
        .bind(ended.state.as_str())
        .bind(ended.differences.map(Json))
        .bind(ended.error)
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }

    /// Looks after what followers do not: the copies that operators see, what older epochs, switches and owners
    /// that crashed left, the row of a generation that was given up, a failure that is over. Never returns.
    pub(crate) async fn keep_house(&self, watched: Watched) {
        let began = Instant::now();
        let followed = read(&watched).positions;
        let numbers: Vec<i32> = followed.into_iter().map(|(number, _)| number).collect();
        let (mut failed, mut recovered, mut tidy) = (false, false, false);
        let mut gave_up = numbers.len() < 2;
        loop {
            tokio::time::sleep(MIRROR_INTERVAL).await;
            let standing = read(&watched);
            let now = &standing.positions;
            let kept = async {
                self.mirror(now).await?;
                match standing.failure() {
                    Some(failure) if !failed => {
                        self.fail(failure).await;
                        (failed, recovered) = (true, false);
                    }
                    None if !recovered && began.elapsed() >= RECOVERED_AFTER && !now.is_empty() => {
                        self.set_failure(None).await?;
                        (failed, recovered) = (false, true);
                    }
                    Some(_) | None => {}
                }
                if !tidy && began.elapsed() >= READERS_GRACE {
                    self.remove_older_epochs(numbers.clone()).await?;
                    self.drop_unregistered().await?;
                    tidy = true;
                }
                if !gave_up && now.len() < 2 {
                    self.forget_previous().await?;
                    gave_up = true;
                }
                Ok::<_, anyhow::Error>(())
            };
            if let Err(error) = kept.await {
                tracing::debug!(projection = self.consumer, %error, "not kept up to date");
            }
        }
    }

    /// There is no way back to a generation that does not follow any more.
    pub(crate) async fn forget_previous(&self) -> anyhow::Result<()> {
        let mut transaction = self.transaction().await?;
        sqlx::query(
            "update projections set previous = null, previous_shape = null where name = $1",
        )
        .bind(&self.consumer)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

fn read(watched: &Watched) -> Standing {
    watched.lock().expect("no panic while held").clone()
}
