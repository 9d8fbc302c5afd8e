//! An owner that freezes or dies is replaced within five seconds, and one that wakes up late writes nothing more.

use eventstore::Lease;
use faults::{At, Fault, Process, Schedule, alone};
use projections::ReadModel;
use rand::seq::SliceRandom;

use super::SOON;
use super::shop::Shop;

/// The bound for a take-over: from the last sign of life to the first effect of the next owner, but for the time in which
/// the machine stood still.
const TAKE_OVER_SECONDS_MAX: f64 = 5.0;

/// Where an owner freezes: in the middle of a transaction that holds locks which the next one needs, in the middle of an
/// index that it has begun to change, and between two batches.
const FROZEN_AT: [&str; 6] = [
    "projection-lease-held",
    "projection-checkpoint-moved",
    "projection-mirroring",
    "projection-documents-added",
    "projection-rows-written",
    "projection-batch-read",
];

/// Enough to reach every point.
const COMMANDS: usize = 40;

#[tokio::test]
async fn a_frozen_owner_is_replaced_and_writes_nothing_more() {
    let _alone = alone().await;
    let schedule = Schedule::of("a_frozen_owner_is_replaced_and_writes_nothing_more");
    let mut points = FROZEN_AT;
    points[2..].shuffle(&mut schedule.random());
    for point in &points[..schedule.times(3, points.len())] {
        let mut shop = running_shop(schedule.seed).await;
        let at = At {
            point: (*point).to_owned(),
            occurrence: 1,
            fault: Fault::Freeze,
        };
        let first = shop.start(&ReadModel::ALL, "first", Some(at)).await;
        let second = shop.start(&ReadModel::ALL, "second", None).await;
        shop.trade.go_on(COMMANDS).await;
        first.frozen(SOON).await;
        let seconds = taken_over(&mut shop, "second").await;
        println!("frozen at {point}: taken over within {seconds:.2} s");

        let before = shop.content().await;
        let thawed_at = shop.now().await;
        first.thaw();
        stands_by(&shop, "first", thawed_at).await;
        assert_eq!(shop.content().await, before, "frozen at {point}");

        // It stands by: it takes over from its successor in turn.
        let seconds = killed(&mut shop, second, "first").await;
        println!("frozen at {point}: taken back within {seconds:.2} s");
        shop.stop(first).await;
        shop.verify().await;
    }
}

#[tokio::test]
async fn a_killed_owner_is_replaced() {
    let _alone = alone().await;
    let schedule = Schedule::of("a_killed_owner_is_replaced");
    let mut shop = running_shop(schedule.seed).await;
    let mut owner = shop.start(&ReadModel::ALL, "owner-0", None).await;
    for round in 1..=schedule.times(1, 20) {
        let next = format!("owner-{round}");
        let position = shop.trade.go_on(COMMANDS).await;
        shop.reached(&ReadModel::ALL, position).await;
        let stand_by = shop.start(&ReadModel::ALL, &next, None).await;
        let seconds = killed(&mut shop, owner, &next).await;
        println!("killed: taken over within {seconds:.2} s");
        owner = stand_by;
    }
    shop.stop(owner).await;
    shop.verify().await;
}

/// A shop whose read models are built, and which nobody keeps.
async fn running_shop(seed: u64) -> Shop {
    let mut shop = Shop::open(seed).await;
    shop.identify();
    let position = shop.trade.go_on(COMMANDS).await;
    let builder = shop.start(&ReadModel::ALL, "builder", None).await;
    shop.reached(&ReadModel::ALL, position).await;
    shop.stop(builder).await;
    shop
}

/// Kills an owner; how long its read models stood still.
async fn killed(shop: &mut Shop, mut owner: Process, next: &str) -> f64 {
    owner.kill();
    owner.ended(SOON).await;
    taken_over(shop, next).await
}

/// Goes on trading, and waits until the next owner of each read model has given that its effect; how long it took, by
/// the database's clock, less what the machine stood still.
async fn taken_over(shop: &mut Shop, next: &str) -> f64 {
    let (began, stalled_before) = (shop.now().await, shop.stalls.so_far());
    let position = shop.trade.go_on(1).await;
    shop.reached(&ReadModel::ALL, position).await;
    let stalled = shop.stalls.so_far() - stalled_before;
    let seconds = shop.now().await - began - stalled.as_secs_f64();
    println!("the machine stood still for {stalled:.2?} meanwhile");
    for consumer in shop.consumers() {
        testing::until(&format!("{next} has {consumer}"), SOON, async || {
            let lease = Lease::read(shop.pool(), &consumer).await.unwrap().unwrap();
            (lease.holder.as_str(), lease.held) == (next, true)
        })
        .await;
    }
    assert!(seconds <= TAKE_OVER_SECONDS_MAX, "it took {seconds:.2} s");
    seconds
}

/// Waits until a process that was thawed asks for the leases, as one that stands by does: for all four of them it takes
/// as many statements.
async fn stands_by(shop: &Shop, holder: &str, thawed_at: f64) {
    let mut asked = 0;
    let mut last: Option<f64> = None;
    testing::until("the thawed owner stands by", SOON, async || {
        let at: Option<f64> = sqlx::query_scalar(
            "select max(extract(epoch from query_start))::float8 from pg_stat_activity
             where application_name = $1 and query like 'insert into leases%'",
        )
        .bind(holder)
        .fetch_one(shop.pool())
        .await
        .unwrap();
        if at.is_some_and(|at| at > thawed_at) && at != last {
            (asked, last) = (asked + 1, at);
        }
        asked >= ReadModel::ALL.len()
    })
    .await;
}
