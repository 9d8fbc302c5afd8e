//! A replay that is killed or frozen is carried out by the next owner, and leaves nothing behind.

use std::time::Duration;

use faults::{At, Fault, Schedule, alone};
use projections::ReadModel;
use rand::RngExt;
use read_models::replays::{Kind, State};

use crate::projections::shop::{Shop, plant_products};

/// A bound for what takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(60);

/// Enough for several pages.
const PLANTED: i64 = 6_500;

/// Every step of a replay that switches.
const POINTS: [&str; 8] = [
    "replay-begun",
    "replay-dropping",
    "replay-created",
    "replay-page",
    "replay-completed",
    "replay-compared",
    "replay-switching",
    "replay-switched",
];

const MODELS: [ReadModel; 2] = [ReadModel::Products, ReadModel::Search];

async fn long_shop(seed: u64) -> Shop {
    let mut shop = Shop::open(seed).await;
    shop.trade.go_on(10).await;
    let position = plant_products(shop.pool(), PLANTED).await;
    let builder = shop.start(&MODELS, "builder", None).await;
    shop.reached(&MODELS, position).await;
    shop.stop(builder).await;
    shop
}

fn at(point: &str, occurrence: u64, fault: Fault) -> Option<At> {
    Some(At {
        point: point.to_owned(),
        occurrence,
        fault,
    })
}

#[tokio::test]
async fn a_replay_killed_at_any_step_is_carried_out_by_the_next_owner() {
    let _alone = alone().await;
    let schedule = Schedule::of("a_replay_killed_at_any_step_is_carried_out_by_the_next_owner");
    let mut random = schedule.random();
    let mut shop = long_shop(schedule.seed).await;
    let mut kills = 0;
    for round in 0..schedule.times(1, 6) {
        for (index, point) in POINTS.iter().enumerate() {
            let model = MODELS[(round + index + usize::from(schedule.seed.is_multiple_of(2))) % 2];
            let occurrence = if *point == "replay-page" {
                random.random_range(1..=2)
            } else {
                1
            };
            let id = shop.request(model, Kind::Replay, false).await;
            let at = at(point, occurrence, Fault::Kill);
            let mut worker = shop.start(&[model], point, at).await;
            assert_eq!(worker.ended(SOON).await.code(), None, "killed at {point}");
            kills += 1;
            shop.expire_leases().await;
            shop.trade.go_on(5).await;
            let next = shop.start(&[model], "next", None).await;
            let replay = shop.ended(id).await;
            assert_eq!(
                replay.state,
                State::Switched,
                "killed at {point}: {replay:?}"
            );
            let differences = replay.differences.unwrap_or_default();
            assert!(differences.is_empty(), "killed at {point}: {differences:?}");
            shop.stop(next).await;
        }
    }
    nothing_is_left(&shop).await;
    shop.verify().await;
    println!("{kills} replays killed, each carried out by the next owner");
}

#[tokio::test]
async fn comparisons_and_rollbacks_that_are_killed_end_as_asked() {
    let _alone = alone().await;
    let schedule = Schedule::of("comparisons_and_rollbacks_that_are_killed_end_as_asked");
    let shop = long_shop(schedule.seed).await;
    let first = usize::try_from(schedule.seed % 2).unwrap();
    for model in MODELS
        .into_iter()
        .cycle()
        .skip(first)
        .take(schedule.times(1, 6))
    {
        let worker = shop.start(&[model], "worker", None).await;
        shop.replay(model).await;
        shop.stop(worker).await;
        for (point, kind, ends) in [
            ("replay-compared", Kind::Replay, State::Compared),
            ("replay-abandoned", Kind::Replay, State::Compared),
            ("replay-rolling-back", Kind::Rollback, State::RolledBack),
            ("replay-rolled-back", Kind::Rollback, State::RolledBack),
        ] {
            let id = shop.request(model, kind, kind == Kind::Replay).await;
            let mut worker = shop.start(&[model], point, at(point, 1, Fault::Kill)).await;
            assert_eq!(worker.ended(SOON).await.code(), None, "killed at {point}");
            shop.expire_leases().await;
            let next = shop.start(&[model], "next", None).await;
            let replay = shop.ended(id).await;
            assert_eq!(replay.state, ends, "killed at {point}: {replay:?}");
            shop.stop(next).await;
        }
    }
    if schedule.long {
        nothing_is_left(&shop).await;
    }
    shop.verify().await;
}

/// Of generations that were begun in vain; the next owner sees to it a while after it has begun.
async fn nothing_is_left(shop: &Shop) {
    let next = shop.start(&MODELS, "tidy", None).await;
    testing::until("nothing is left behind", SOON, async || {
        shop.is_tidy().await
    })
    .await;
    for model in MODELS {
        shop.replay(model).await;
    }
    shop.stop(next).await;
}

#[tokio::test]
async fn a_frozen_owner_harms_nothing_of_the_replay_that_its_successor_finishes() {
    let _alone = alone().await;
    let schedule =
        Schedule::of("a_frozen_owner_harms_nothing_of_the_replay_that_its_successor_finishes");
    let mut shop = long_shop(schedule.seed).await;
    let points = ["replay-dropping", "replay-page", "replay-switching"];
    for model in MODELS {
        for point in &points[..schedule.times(1, points.len())] {
            let id = shop.request(model, Kind::Replay, false).await;
            let first = shop
                .start(&[model], "first", at(point, 1, Fault::Freeze))
                .await;
            first.frozen(SOON).await;
            let second = shop.start(&[model], "second", None).await;
            let replay = shop.ended(id).await;
            assert_eq!(
                replay.state,
                State::Switched,
                "frozen at {point}: {replay:?}"
            );
            first.thaw();
            // The thawed one ends in order only once it has let go of what it was at.
            shop.stop(first).await;
            let position = shop.trade.go_on(5).await;
            shop.reached(&[model], position).await;
            shop.stop(second).await;
            shop.verify().await;
        }
    }
}
