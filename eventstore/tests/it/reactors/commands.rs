//! What a reactor does with commands happens once, however often it is broken off.

use std::sync::Arc;

use async_trait::async_trait;
use eventstore::{
    Begins, EventStore, Feeds, ReactError, Reactions, Reactor, RecordedEvent, reactor_progress,
};
use tokio_util::sync::CancellationToken;

use crate::feeds::Followed;
use crate::publishing::{LONG, expire_lease};
use crate::support::{Account, at_once, claim, deposit_in};

const CLAIMS: usize = 400;

/// Gives a bonus for each name that is claimed.
struct Bonus(EventStore);

#[async_trait]
impl Reactor for Bonus {
    fn name(&self) -> &'static str {
        "bonus"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["name"]
    }

    fn begins(&self) -> Begins {
        Begins::AtStart
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let derived = self
            .0
            .derived_context("bonus", self.name(), &event.event_id.to_string());
        let account = format!("bonus-{}", event.aggregate_id);
        let given = deposit_in(&self.0, &account, 1, derived.caused_by(event)).await;
        given.map_err(|error| ReactError::Transient(error.into()))?;
        Ok(())
    }
}

async fn what_it_does_happens_once_whatever_ends_it(kafka: bool) {
    let followed = Followed::over(kafka).await;
    let pool = &followed.database.pool;
    let store = followed.store.clone();
    let writing = tokio::spawn(at_once(CLAIMS, move |index| {
        let store = store.clone();
        async move {
            let (account, name) = (format!("account-{index}"), format!("name-{index}"));
            claim(&store, &account, &name).await.unwrap();
        }
    }));
    let given = async || -> i64 {
        let count = "select count(*) from events where aggregate_id like 'bonus-%'";
        sqlx::query_scalar(count).fetch_one(pool).await.unwrap()
    };
    for round in 1..=8 {
        let reactor = Arc::new(Bonus(followed.store.clone()));
        let feeds = Feeds::new(followed.store.clone(), followed.source.clone());
        let reactions = Reactions::new(feeds, reactor, "test");
        let working = tokio::spawn(async move { reactions.run(CancellationToken::new()).await });
        // Somewhere on the way, each time at another place.
        let enough = (round * 45 + round * round).min(i64::try_from(CLAIMS).unwrap());
        testing::until("some are given", LONG, async || given().await >= enough).await;
        if round == 8 {
            testing::until("all is handled", LONG, async || {
                let progress = reactor_progress(pool, "bonus").await.unwrap().unwrap();
                progress.lag == 0
            })
            .await;
        }
        working.abort();
        assert!(working.await.is_err_and(|error| error.is_cancelled()));
        expire_lease(pool, "reactor-bonus").await;
    }
    writing.await.unwrap();
    assert_eq!(given().await, i64::try_from(CLAIMS).unwrap());
    let ids: Vec<String> = (0..CLAIMS)
        .map(|index| format!("bonus-name-{index}"))
        .collect();
    let states = followed.store.states::<Account>(&ids).await.unwrap();
    assert_eq!(states.len(), CLAIMS);
    assert!(
        states
            .values()
            .all(|(account, version)| account.balance == 1 && *version == 1)
    );
}

suites!([what_it_does_happens_once_whatever_ends_it]);
