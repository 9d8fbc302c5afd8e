//! Every saga ends and nobody acts twice, whatever dies: reactors, command-api or relay, at every point of their work.

mod checks;
mod customers;
mod evidence;
mod group;
mod kills;
mod plants;
mod run;
mod site;

use std::time::Duration;

use faults::{Schedule, alone};

/// A bound for what takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(60);
/// A bound for what waits for sagas that were held up by many deaths.
const LONG: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_log_every_saga_ends_and_nobody_acts_twice() {
    let _alone = alone().await;
    let schedule = Schedule::of("over_the_log_every_saga_ends_and_nobody_acts_twice");
    for round in 0..schedule.times(1, 3) {
        run::run(false, schedule.seed.wrapping_add(round as u64)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kafka_every_saga_ends_and_nobody_acts_twice() {
    let _alone = alone().await;
    let schedule = Schedule::of("over_kafka_every_saga_ends_and_nobody_acts_twice");
    for round in 0..schedule.times(1, 3) {
        run::run(true, schedule.seed.wrapping_add(round as u64)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_charges_twice_is_caught() {
    let _alone = alone().await;
    let schedule = Schedule::of("a_provider_that_charges_twice_is_caught");
    run::forgetful(schedule.seed).await;
}
