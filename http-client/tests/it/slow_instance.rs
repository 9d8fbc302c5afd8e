//! One instance of three is half a second slower than the others.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use http_client::Retry;
use tokio::time::{MissedTickBehavior, interval};

use crate::fixture::*;

const SLOWER: Duration = Duration::from_millis(500);
/// At a constant rate, whatever the answers take.
const EVERY: Duration = Duration::from_millis(5);
const CALLS: usize = 800;
/// Counts from here on, in seconds from the first call.
const SETTLED: f64 = 2.0;

#[tokio::test]
async fn a_slow_instance_has_less_than_a_twentieth_of_the_calls_within_two_seconds() {
    let instances = [start(&ok()), start(&ok().delay(SLOWER)), start(&ok())];
    let upstream = client(&[&instances[0], &instances[1], &instances[2]]);
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        ticks.tick().await;
        let upstream = upstream.clone();
        calls.push(tokio::spawn(async move {
            status(&upstream, get(), options(Retry::Safe)).await
        }));
    }
    for told in join_all(calls).await {
        assert_eq!(told.unwrap(), Ok(200));
    }
    let settled = begun.as_secs_f64() + SETTLED;
    let counts = instances.each_ref().map(|one| {
        let requests = one.process.requests();
        requests
            .iter()
            .filter(|request| request.at >= settled)
            .count()
    });
    let all: usize = counts.iter().sum();
    assert!(all > CALLS / 4, "{counts:?}");
    assert!(counts[1] * 20 < all, "{counts:?}");
    // The two others share the rest.
    assert!(counts[0] > all / 4 && counts[2] > all / 4, "{counts:?}");
}
