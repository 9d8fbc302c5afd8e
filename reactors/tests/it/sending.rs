//! Messages under way: which channels there are, whom a silent one keeps waiting, and whether an outcome gets into the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::notification::Event;
use domain::{Channels, NotificationPreferences};
use eventstore::{RecordedEvent, dead_letters};
use reactors::channel::{Channel, LogChannel, Message, SendError};
use reactors::notification::Ways;
use sqlx::PgPool;
use testing::until;
use tokio::sync::Semaphore;

use crate::notifications::{Told, begun, notifications, notify, only, sent};
use crate::shop::{LONG, Shop};

/// More messages than are under way at once over all channels.
const MANY: usize = 70;

/// Longer than a command waits for the store.
const OUTAGE: Duration = Duration::from_secs(12);

/// Answers nobody before it is let.
struct Silent(Semaphore);

#[async_trait]
impl Channel for Silent {
    fn name(&self) -> &'static str {
        "email"
    }

    async fn send(&self, _: &Message) -> Result<(), SendError> {
        let _ = self.0.acquire().await;
        Ok(())
    }
}

/// Takes a message, and at that moment the log can be read, but not appended to for some time.
struct Outage(PgPool);

#[async_trait]
impl Channel for Outage {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn send(&self, _: &Message) -> Result<(), SendError> {
        let mut transaction = self.0.begin().await.unwrap();
        sqlx::query("lock table events in share row exclusive mode")
            .execute(&mut *transaction)
            .await
            .unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(OUTAGE).await;
            transaction.rollback().await.unwrap();
        });
        Ok(())
    }
}

fn accounts_through(account: Channels) -> NotificationPreferences {
    NotificationPreferences {
        account,
        ..NotificationPreferences::default()
    }
}

#[tokio::test]
async fn an_outcome_is_told_once_the_store_takes_it_again() {
    let mut shop = Shop::open().await;
    let outage: Arc<dyn Channel> = Arc::new(Outage(shop.store.pool().clone()));
    notify(&mut shop, &only(outage));
    begun(&shop).await;
    shop.customer("ada").await;
    let told = async || sent(&notifications(&shop).await).len() == 1;
    until("it is known as sent", LONG, told).await;
    shop.close().await;
}

#[tokio::test]
async fn a_channel_that_is_silent_keeps_no_other_waiting() {
    let mut shop = Shop::open().await;
    let silent = Arc::new(Silent(Semaphore::new(0)));
    let told = Told::answering(vec![Ok(())]);
    let ways = Ways {
        email: silent.clone(),
        webhook: Some(told.clone()),
        log: told.clone(),
    };
    notify(&mut shop, &ways);
    begun(&shop).await;
    for number in 0..MANY {
        shop.customer(&format!("customer-{number}")).await;
    }
    let ada = shop.customer("ada").await;
    let channels = Channels {
        email: false,
        webhook: true,
        log: true,
    };
    shop.prefer(ada, accounts_through(channels)).await;
    until("the others are told", LONG, async || told.asked() >= 2).await;
    assert_eq!(sent_through("email", &shop).await, 0);
    silent.0.close();
    // Of being registered the last customer is told by what they prefer, where the reactor was slow enough.
    let all = async || sent_through("email", &shop).await >= MANY;
    until("the silent one has answered", LONG, all).await;
    shop.close().await;
}

async fn sent_through(channel: &str, shop: &Shop) -> usize {
    let sent = sent(&notifications(shop).await).into_iter();
    sent.filter(|(_, through)| *through == channel).count()
}

#[tokio::test]
async fn through_a_channel_that_is_not_set_up_nobody_is_told_and_nothing_fails() {
    let mut shop = Shop::open().await;
    let ways = Ways {
        email: Arc::new(LogChannel),
        webhook: None,
        log: Arc::new(LogChannel),
    };
    notify(&mut shop, &ways);
    begun(&shop).await;
    let ada = shop.customer("ada").await;
    let by_mail = async || sent_through("email", &shop).await == 1;
    until("a mail to whoever prefers nothing", LONG, by_mail).await;
    let channels = Channels {
        email: false,
        webhook: true,
        log: true,
    };
    shop.prefer(ada, accounts_through(channels)).await;
    let expected = [
        ("user.preferences-changed".to_owned(), "log"),
        ("user.registered".to_owned(), "email"),
    ];
    let told = async || sent(&notifications(&shop).await) == expected;
    until("the other channels are told", LONG, told).await;
    shop.stop_working().await;
    // Of one event all channels are decided at once, the web hook before the log.
    let events = notifications(&shop).await;
    let of_webhook = |(event, _): &&(RecordedEvent, Event)| event.aggregate_id.ends_with("webhook");
    assert_eq!(events.iter().find(of_webhook), None);
    assert_eq!(shop.timers().await, []);
    let count = dead_letters::count(shop.store.pool(), None).await;
    assert_eq!(count.unwrap(), 0);
}
