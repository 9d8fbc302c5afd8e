//! Topics that were emptied are filled again from the log.

use std::collections::BTreeSet;
use std::time::Duration;

use eventstore::Relay;
use faults::Schedule;

use super::dump::{checked, log, records};
use super::follower::Follower;
use super::shop::Shop;
use super::{SOON, topics};

/// Between two commands of a writer.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_were_emptied_are_filled_again() {
    let schedule = Schedule::of("topics_that_were_emptied_are_filled_again");
    let shop = Shop::open().await;
    let settings = topics::make(testing::kafka_brokers(), Vec::new()).await;
    let follower = Follower::start(&shop, &settings).await;
    let writing = shop.write(schedule.seed, PAUSE);
    let mut relay = shop.relay(&settings, "first", None);
    shop.publishes(1_000).await;
    relay.terminate();
    relay.ended(SOON).await;

    topics::empty(&settings).await;
    assert!(records(&settings).await.is_empty());
    Relay::reset(&shop.database.pool, 0).await.unwrap();
    let mut relay = shop.relay(&settings, "second", None);
    shop.led_by("second").await;
    shop.all_published(SOON).await;
    relay.terminate();
    relay.ended(SOON).await;

    let names = settings.topic_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        topics::delete(&settings, name).await;
    }
    topics::make_again(&settings, &names).await;
    Relay::reset(&shop.database.pool, 0).await.unwrap();
    let _relay = shop.relay(&settings, "third", None);
    shop.led_by("third").await;
    writing.end().await;
    shop.all_published(SOON).await;
    follower.checked(&shop).await;
    let counts = checked(&shop.database.pool, &settings).await;
    println!(
        "relay | topics emptied, then made anew, and `--from 0` | {} events | {} repeats",
        counts.events, counts.repeats
    );
    assert_eq!(counts.repeats, 0, "Kafka was healthy");
}

/// Its producer goes on in the new topic as if nothing had happened; only the offsets tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_under_a_relay_at_work_is_filled_again() {
    let schedule = Schedule::of("a_topic_made_anew_under_a_relay_at_work_is_filled_again");
    let shop = Shop::open().await;
    let settings = topics::make(testing::kafka_brokers(), Vec::new()).await;
    let follower = Follower::start(&shop, &settings).await;
    let writing = shop.write(schedule.seed, PAUSE);
    let _relay = shop.relay(&settings, "relay", None);
    for topic in settings.topic_names() {
        shop.publishes(500).await;
        topics::delete(&settings, &topic).await;
        topics::make_again(&settings, &[&topic]).await;
        shop.publishes(500).await;
    }
    writing.end().await;
    shop.all_published(SOON).await;
    let held = async || -> BTreeSet<i64> {
        let records = records(&settings).await;
        records.iter().map(|record| record.event.position).collect()
    };
    let expected: BTreeSet<i64> = (1..=shop.status().await.head).collect();
    testing::until("everything is there again", SOON, async || {
        held().await == expected
    })
    .await;
    // Whatever reached a new topic before its past did is before it in order: only followers by position are exact.
    let (log, records) = (log(&shop.database.pool).await, records(&settings).await);
    println!(
        "relay | topics made anew under it | {} events | {} repeats",
        log.len(),
        records.len() - log.len()
    );
    follower.checked(&shop).await;
}
