//! What the broker refuses: visible to operators, tried again with back-off, nothing skipped, mended from outside.

use std::time::Duration;

use eventstore::RelayStatus;
use faults::{Broker, Schedule};
use rand::distr::{Alphanumeric, SampleString};

use super::dump::{checked, repeated};
use super::follower::Follower;
use super::shop::Shop;
use super::{CAUGHT_UP_WITHIN, SOON, topics};

/// Between two commands of a writer.
const PAUSE: Duration = Duration::from_millis(30);

/// Bytes of a batch that the topic takes at first, and of an event that it does not.
const TOPIC_BYTES_MAX: &str = "20000";
const BIG_EVENT_BYTES: usize = 60_000;

/// What a topic takes otherwise.
const DEFAULT_BYTES_MAX: &str = "1048588";

/// Attempts after which it is clear that it goes on trying; with back-off they take some seconds.
const ATTEMPTS: i64 = 3;

/// The first five waits of the back-off take three seconds; without it there would be hundreds of attempts.
const ATTEMPTS_MAX: i64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_refuses_is_visible_and_goes_on_once_mended() {
    let schedule = Schedule::of("what_the_broker_refuses_is_visible_and_goes_on_once_mended");
    let broker = Broker::start().await;
    let admin = topics::make(broker.address(), Vec::new()).await;
    let [basket, shelf] = admin.topic_names().try_into().unwrap();
    let mut settings = admin.clone();
    (settings.brokers, settings.options) = broker.address_of_user();
    topics::configure(&admin, &shelf, "max.message.bytes", TOPIC_BYTES_MAX).await;
    let shop = Shop::open().await;
    let follower = Follower::start(&shop, &admin).await;
    let mut relay = shop.relay(&settings, "relay", None);
    let writing = shop.write(schedule.seed, PAUSE);
    shop.publishes(300).await;

    let note = Alphanumeric.sample_string(&mut schedule.random(), BIG_EVENT_BYTES);
    shop.fill("store-1:1", note).await;
    let big = big_event(&shop).await;
    shop.published(big - 1, SOON).await;
    let status = refused(&shop, "MessageSizeTooLarge").await;
    assert_eq!(
        status.published,
        big - 1,
        "all before it, and nothing past it"
    );
    let text = status.error.unwrap();
    assert!(text.contains(&format!("position {big} ")), "{text}");
    println!(
        "relay | refused for its size | attempt {} | {text}",
        status.attempts
    );
    topics::configure(&admin, &shelf, "max.message.bytes", DEFAULT_BYTES_MAX).await;
    mended(&shop).await;

    topics::delete(&admin, &basket).await;
    let status = refused(&shop, "opic").await;
    println!(
        "relay | topic deleted | attempt {} | {}",
        status.attempts,
        status.error.unwrap()
    );
    topics::make_again(&admin, &[&basket]).await;
    mended(&shop).await;

    broker.forbid_writing(&shelf).await;
    let status = refused(&shop, "TopicAuthorizationFailed").await;
    println!(
        "relay | not allowed | attempt {} | {}",
        status.attempts,
        status.error.unwrap()
    );
    broker.allow_writing(&shelf).await;
    mended(&shop).await;

    let commands = writing.end().await;
    shop.all_published(CAUGHT_UP_WITHIN).await;
    assert!(!relay.has_ended(), "it goes on by itself");
    let from_log = follower.checked(&shop).await;
    let counts = checked(&shop.database.pool, &admin).await;
    println!(
        "relay | refused, deleted, not allowed | {commands} commands, all acknowledged | {} events | {} repeats | {from_log:?} followed from the log, live and again",
        counts.events, counts.repeats
    );
    assert_eq!(repeated(&admin).await, [], "the broker was healthy");
}

/// Waits until operators see the error and several attempts, and checks that these were not made in a hurry.
async fn refused(shop: &Shop, error: &str) -> RelayStatus {
    let mut status = shop.status().await;
    testing::until(&format!("{error} is seen"), SOON, async || {
        status = shop.status().await;
        let seen = status
            .error
            .as_ref()
            .is_some_and(|text| text.contains(error));
        seen && status.attempts >= ATTEMPTS
    })
    .await;
    assert!(
        status.attempts <= ATTEMPTS_MAX,
        "{} attempts",
        status.attempts
    );
    assert!(status.pending > 0);
    // Commands do not care.
    shop.grows(100).await;
    status
}

/// It goes on by itself, and the error is gone.
async fn mended(shop: &Shop) {
    let took = shop.all_published(CAUGHT_UP_WITHIN).await;
    testing::until("the error is gone", SOON, async || {
        shop.status().await.error.is_none()
    })
    .await;
    println!("relay | mended | caught up after {took:.1?}");
}

async fn big_event(shop: &Shop) -> i64 {
    sqlx::query_scalar("select position from events where length(payload::text) > $1")
        .bind(i32::try_from(BIG_EVENT_BYTES).unwrap())
        .fetch_one(&shop.database.pool)
        .await
        .unwrap()
}
