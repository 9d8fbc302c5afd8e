//! kill -9 at every point of a batch.

use faults::{At, Fault, Schedule, alone};
use projections::ReadModel;
use rand::RngExt;

use super::SOON;
use super::shop::Shop;

/// Every point between what the log holds and what readers see.
const POINTS: [&str; 10] = [
    "projection-taken-over",
    "projection-index-linked",
    "projection-batch-read",
    "projection-checkpoint-moved",
    "projection-rows-written",
    "projection-committed",
    "projection-documents-added",
    "projection-index-committed",
    "projection-mirroring",
    "projection-mirrored",
];

/// Those that a process passes once for each read model that it opens, and not again.
const ONCE: usize = 2;

#[tokio::test]
async fn read_models_are_exact_after_kill_9_at_every_point_of_a_batch() {
    let _alone = alone().await;
    let schedule = Schedule::of("read_models_are_exact_after_kill_9_at_every_point_of_a_batch");
    let mut random = schedule.random();
    let mut shop = Shop::open(schedule.seed).await;
    let first = shop.trade.go_on(20).await;
    let builder = shop.start(&ReadModel::ALL, "builder", None).await;
    shop.reached(&ReadModel::ALL, first).await;
    shop.stop(builder).await;

    let mut kills = 0;
    for _ in 0..schedule.times(1, 12) {
        for (index, point) in POINTS.iter().enumerate() {
            // Copies for operators are made once a second: not too many of those.
            let occurrences_max = match point.contains("mirror") {
                _ if index < ONCE => 1,
                true => 2,
                false => 6,
            };
            let occurrence = random.random_range(1..=occurrences_max);
            let at = At {
                point: (*point).to_owned(),
                occurrence,
                fault: Fault::Kill,
            };
            let mut worker = shop.start(&ReadModel::ALL, point, Some(at)).await;
            while !worker.has_ended() {
                shop.trade.go_on(3).await;
            }
            let status = worker.ended(SOON).await;
            assert_eq!(
                status.code(),
                None,
                "killed at {point} {occurrence}: {status}"
            );
            kills += 1;
            shop.expire_leases().await;
        }
    }

    let last = shop.trade.go_on(5).await;
    let worker = shop.start(&ReadModel::ALL, "last", None).await;
    shop.reached(&ReadModel::ALL, last).await;
    shop.stop(worker).await;
    shop.verify().await;
    println!(
        "{kills} kills at {} points, {last} events, all read models exact",
        POINTS.len()
    );
}

#[tokio::test]
async fn read_models_are_exact_after_kill_9_at_any_time() {
    let _alone = alone().await;
    let schedule = Schedule::of("read_models_are_exact_after_kill_9_at_any_time");
    let mut random = schedule.random();
    let mut shop = Shop::open(schedule.seed).await;
    let rounds = schedule.times(6, 120);
    for _ in 0..rounds {
        let worker = shop.start(&ReadModel::ALL, "worker", None).await;
        shop.trade.go_on(random.random_range(0..120)).await;
        worker.kill();
        drop(worker);
        shop.expire_leases().await;
    }
    let last = shop.trade.go_on(5).await;
    let worker = shop.start(&ReadModel::ALL, "last", None).await;
    shop.reached(&ReadModel::ALL, last).await;
    shop.stop(worker).await;
    shop.verify().await;
    println!("{rounds} kills at any time, {last} events, all read models exact");
}
