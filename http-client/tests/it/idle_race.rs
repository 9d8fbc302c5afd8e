//! The server closes a connection that was idle just as the next request goes out on it.

use std::collections::BTreeSet;
use std::time::Duration;

use http_client::{Retry, Upstream};
use testing::ClosedBy;
use tokio::time::sleep;

use crate::fixture::*;

const IDLE: Duration = Duration::from_millis(50);
/// Requests of one caller; the pauses before them go up and down around the moment of closing.
const REQUESTS: u32 = 120;
/// The steps of the walk.
const STEP: Duration = Duration::from_micros(250);
const STEPS: u32 = 40;

#[tokio::test]
async fn requests_around_the_moment_of_closing_never_fail_and_have_one_effect_each() {
    let mut one = start(&ok());
    one.process.close_idle_after(Some(IDLE));
    let upstream = client(&[&one]);
    let walks = (0..4).map(|caller| walk(upstream.clone(), caller));
    futures::future::join_all(walks).await;
    let effects = one.process.effects_and_repetitions();
    let effective = effects.iter().filter(|effect| !effect.repeated).count();
    let keys: BTreeSet<_> = effects
        .iter()
        .filter_map(|effect| effect.key.clone())
        .collect();
    assert_eq!(keys.len(), REQUESTS as usize * 2);
    assert_eq!(effective, keys.len());
    // The moment was met from both sides.
    let connections = one.process.connections();
    let by_idleness = connections
        .iter()
        .filter(|one| matches!(one.closed, Some((ClosedBy::Idle, _))))
        .count();
    let requests = one.process.requests().len();
    assert!(by_idleness > 10, "{by_idleness} of {requests}");
    assert!(connections.len() < requests * 9 / 10, "{requests} requests");
}

async fn walk(upstream: Upstream, caller: u32) {
    let begin = IDLE - STEP * (STEPS / 2);
    for number in 0..REQUESTS {
        sleep(begin + STEP * ((number * 7 + caller * 3) % STEPS)).await;
        let told = if caller.is_multiple_of(2) {
            status(&upstream, get(), options(Retry::Safe)).await
        } else {
            let key = format!("key-{caller}-{number}");
            status(&upstream, post(&key), options(Retry::Keyed)).await
        };
        assert_eq!(told, Ok(200), "request {number} of caller {caller}");
    }
}
