//! kill -9 between any two steps of the relay, with Kafka healthy.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use faults::{At, Fault, Schedule};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::dump::{Counts, checked};
use super::follower::Follower;
use super::shop::Shop;
use super::{SOON, topics};

/// The steps, each with the most that it is passed before it ends the relay.
const POINTS: [(&str, u64); 6] = [
    ("relay-resumed", 1),
    ("relay-read", 20),
    ("relay-sent", 2_000),
    ("relay-acknowledged", 2_000),
    ("relay-saving", 10),
    ("relay-checkpointed", 10),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_point_it_is_followed_by_one_that_repeats_nothing() {
    let schedule = Schedule::of("killed_at_any_point_it_is_followed_by_one_that_repeats_nothing");
    let rounds = schedule.times(2, 12);
    let lane = |first: usize| {
        killed_at(
            &POINTS[first..first + 2],
            rounds,
            schedule.seed.wrapping_add(first as u64),
        )
    };
    let (first, second, third) = tokio::join!(lane(0), lane(2), lane(4));
    let mut total = Counts::default();
    for counts in [first, second, third] {
        total.events += counts.events;
        total.repeats += counts.repeats;
    }
    println!(
        "relay | killed at {} points, {} times | {} events | {} repeats",
        POINTS.len(),
        POINTS.len() * rounds,
        total.events,
        total.repeats
    );
    assert_eq!(total.repeats, 0, "Kafka was healthy");
}

/// A log of its own, whose relays end at each of these points in turn.
async fn killed_at(points: &[(&str, u64)], rounds: usize, seed: u64) -> Counts {
    let mut random = StdRng::seed_from_u64(seed);
    let shop = Shop::open().await;
    let settings = topics::make(testing::kafka_brokers(), Vec::new()).await;
    let follower = Follower::start(&shop, &settings).await;
    let writing = shop.write(seed, Duration::from_millis(10));
    for round in 0..rounds {
        for (point, passes_max) in points {
            let at = At {
                point: (*point).to_owned(),
                occurrence: random.random_range(1..=*passes_max),
                fault: Fault::Kill,
            };
            let holder = format!("{point} {round}");
            let mut relay = shop.relay(&settings, &holder, Some(&at));
            let status = relay.ended(SOON).await;
            assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{holder}");
        }
    }
    let mut last = shop.relay(&settings, "last", None);
    shop.led_by("last").await;
    writing.end().await;
    shop.all_published(SOON).await;
    last.terminate();
    assert!(last.ended(SOON).await.success());
    let from_log = follower.checked(&shop).await;
    println!("relay | {points:?} | {from_log:?} followed from the log, live and again");
    checked(&shop.database.pool, &settings).await
}
