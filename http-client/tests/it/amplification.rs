//! How many attempts there are where all fail.

use futures::{StreamExt, stream};
use http_client::{Retry, Upstream};
use testing::UpstreamBehaviour;

use crate::fixture::*;

const CALLS: usize = 500;
const AT_ONCE: usize = 20;

async fn call_all(upstream: &Upstream) {
    stream::iter(0..CALLS)
        .map(|_| status(upstream, get(), options(Retry::Safe)))
        .buffer_unordered(AT_ONCE)
        .for_each(|told| async move { assert_ne!(told, Ok(200)) })
        .await;
}

#[tokio::test]
async fn where_all_fail_there_are_at_most_a_tenth_more_attempts_than_calls() {
    for failing in [
        // The breaker does not help here: it takes no part in refusals.
        UpstreamBehaviour::answer(503),
        UpstreamBehaviour::answer(502),
        UpstreamBehaviour::reset(),
    ] {
        let (one, other) = (start(&failing), start(&failing));
        let upstream = client(&[&one, &other]);
        call_all(&upstream).await;
        let requests = one.process.requests().len() + other.process.requests().len();
        assert!(requests <= CALLS + CALLS / 10, "{requests}");
        assert!(requests >= 5, "{requests}");
    }
}
