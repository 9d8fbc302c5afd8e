//! A broker that is killed, frozen and stopped under load, with the relay alive and with a relay that dies meanwhile.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use faults::{Broker, Schedule};
use nix::sys::signal::Signal;
use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::dump::checked;
use super::follower::Follower;
use super::shop::{Shop, Writing};
use super::{CAUGHT_UP_WITHIN, SOON, topics};

/// Between two commands of a writer.
const PAUSE: Duration = Duration::from_millis(30);

/// While the broker is away.
const AWAY_EVENTS: i64 = 300;

/// In the short run requests are given up sooner, so that a short freeze outlasts them as a long one does by default.
const IMPATIENT: [(&str, &str); 2] = [
    ("request.timeout.ms", "1500"),
    ("socket.timeout.ms", "2500"),
];

fn options(schedule: Schedule) -> Vec<(String, String)> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    match schedule.long {
        true => Vec::new(),
        false => IMPATIENT.into_iter().map(owned).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_broker_away_commands_go_on_and_the_relay_catches_up() {
    let schedule = Schedule::of("with_the_broker_away_commands_go_on_and_the_relay_catches_up");
    let mut broker = Broker::start().await;
    let settings = topics::make(broker.address(), options(schedule)).await;
    let shop = Shop::open().await;
    let follower = Follower::start(&shop, &settings).await;
    let _relay = shop.relay(&settings, "relay", None);
    let writing = shop.write(schedule.seed, PAUSE);
    for round in 0..schedule.times(1, 3) {
        shop.publishes(500).await;
        broker.kill().await;
        away(&shop, Duration::from_secs(1)).await;
        broker.start_again().await;
        caught_up(&shop, &writing, &format!("broker killed, round {round}")).await;

        broker.freeze();
        away(
            &shop,
            schedule.lasting(Duration::from_secs(6), Duration::from_secs(45)),
        )
        .await;
        broker.thaw();
        caught_up(&shop, &writing, &format!("broker frozen, round {round}")).await;

        broker.stop().await;
        away(
            &shop,
            schedule.lasting(Duration::from_secs(4), Duration::from_secs(60)),
        )
        .await;
        broker.start_again().await;
        caught_up(&shop, &writing, &format!("broker stopped, round {round}")).await;
    }
    let healthy = Instant::now();
    follower.back_on_kafka(&shop).await;
    println!(
        "relay | the follower is back on Kafka after {:.1?}",
        healthy.elapsed()
    );
    let commands = writing.end().await;
    shop.all_published(CAUGHT_UP_WITHIN).await;
    let from_log = follower.checked(&shop).await;
    let counts = checked(&shop.database.pool, &settings).await;
    println!(
        "relay | broker killed, frozen, stopped | {commands} commands, all acknowledged | {} events | {} repeats | {from_log:?} followed from the log, live and again",
        counts.events, counts.repeats
    );
}

/// The log grows while the broker is away for so long.
async fn away(shop: &Shop, lasting: Duration) {
    let began = Instant::now();
    shop.grows(AWAY_EVENTS).await;
    sleep(lasting.saturating_sub(began.elapsed())).await;
}

async fn caught_up(shop: &Shop, writing: &Writing, what: &str) {
    let backlog = shop.status().await.pending;
    let took = shop.all_published(CAUGHT_UP_WITHIN).await;
    println!(
        "relay | {what} | backlog {backlog} | caught up after {took:.1?} | slowest command {:?}",
        writing.slowest()
    );
}

/// What was on its way to a frozen broker may arrive after the next relay has looked: then it is there twice, and only then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_the_broker_frozen_it_may_repeat_but_never_disorders() {
    let schedule = Schedule::of("killed_with_the_broker_frozen_it_may_repeat_but_never_disorders");
    let mut random = schedule.random();
    let broker = Broker::start().await;
    let settings = topics::make(broker.address(), options(schedule)).await;
    let shop = Shop::open().await;
    let follower = Follower::start(&shop, &settings).await;
    let writing = shop.write(schedule.seed, PAUSE);
    let rounds = schedule.times(3, 14);
    let mut relay = shop.relay(&settings, "relay 0", None);
    for round in 1..=rounds {
        shop.publishes(300).await;
        broker.freeze();
        shop.grows(random.random_range(100..500)).await;
        relay.kill();
        assert_eq!(
            relay.ended(SOON).await.signal(),
            Some(Signal::SIGKILL as i32)
        );
        let holder = format!("relay {round}");
        if round % 2 == 0 {
            broker.thaw();
            relay = shop.relay(&settings, &holder, None);
            shop.led_by(&holder).await;
        } else {
            relay = shop.relay(&settings, &holder, None);
            shop.led_by(&holder).await;
            broker.thaw();
        }
    }
    writing.end().await;
    shop.all_published(CAUGHT_UP_WITHIN).await;
    let from_log = follower.checked(&shop).await;
    let counts = checked(&shop.database.pool, &settings).await;
    println!(
        "relay | killed with the broker frozen, {rounds} times | {} events | {} repeats | {from_log:?} followed from the log, live and again",
        counts.events, counts.repeats
    );
}
