//! The circuit breaker of an instance.

use std::time::{Duration, Instant};

use futures::future::join_all;
use http_client::{
    BreakerSettings, CallError, CallOptions, CircuitState, Retry, Upstream, UpstreamSettings,
};
use testing::UpstreamBehaviour;
use tokio::time::sleep;

use crate::fixture::*;

const OPEN: Duration = Duration::from_millis(300);

fn quick(process: &Process) -> Upstream {
    let breaker = BreakerSettings {
        open_min: OPEN,
        open_max: OPEN,
        ..BreakerSettings::default()
    };
    let settings = UpstreamSettings {
        breaker: Some(breaker),
        ..UpstreamSettings::default()
    };
    client_with(&[process], settings)
}

fn once() -> CallOptions {
    CallOptions {
        retry: Retry::Safe,
        hops: 1,
        ..CallOptions::once(LONG)
    }
}

async fn open(upstream: &Upstream) {
    while upstream.status()[0].failures < 5 {
        assert_eq!(upstream.status()[0].state, CircuitState::Closed);
        assert_ne!(status(upstream, get(), once()).await, Ok(200));
    }
    assert_eq!(upstream.status()[0].state, CircuitState::Open);
}

/// As long as a circuit is open at most.
async fn until_a_probe_is_due() {
    sleep(OPEN * 2).await;
}

#[tokio::test]
async fn of_a_thousand_callers_one_is_the_probe() {
    let mut one = start(&UpstreamBehaviour::answer(502));
    let upstream = quick(&one);
    open(&upstream).await;
    one.process.behave(&ok().delay(500 * MS));
    until_a_probe_is_due().await;
    let before = one.process.requests().len();
    let calls = (0..1000).map(|_| status(&upstream, get(), options(Retry::Safe)));
    let told = join_all(calls).await;
    let answered = told.iter().filter(|told| **told == Ok(200)).count();
    let not_sent = told.iter().filter(|told| is_not_sent(told)).count();
    assert_eq!((answered, not_sent), (1, 999));
    assert_eq!(one.process.requests().len(), before + 1);
    assert_eq!(upstream.status()[0].state, CircuitState::Closed);
    assert_eq!(
        status(&upstream, get(), options(Retry::Safe)).await,
        Ok(200)
    );
}

#[tokio::test]
async fn an_open_circuit_answers_at_once_and_says_when_to_come_back() {
    let mut one = start(&ok());
    let upstream = client(&[&one]);
    one.process.kill();
    open(&upstream).await;
    let begun = Instant::now();
    let error = status(&upstream, get(), options(Retry::Safe))
        .await
        .unwrap_err();
    assert!(begun.elapsed() < 500 * MS);
    let CallError::NotSent { retry_after, .. } = error else {
        panic!("{error}");
    };
    let retry_after = retry_after.unwrap();
    assert!(retry_after > Duration::ZERO && retry_after < 2 * Duration::from_secs(1));
}

#[tokio::test]
async fn a_probe_whose_caller_goes_away_leaves_its_place_to_the_next() {
    let mut one = start(&UpstreamBehaviour::reset());
    let upstream = quick(&one);
    open(&upstream).await;
    one.process.behave(&UpstreamBehaviour::silent());
    until_a_probe_is_due().await;
    let before = one.process.requests().len();
    let probe = tokio::spawn({
        let upstream = upstream.clone();
        async move { status(&upstream, get(), options(Retry::Safe)).await }
    });
    let sent = async || one.process.requests().len() > before;
    testing::until("the probe is sent", LONG, sent).await;
    assert_eq!(upstream.status()[0].state, CircuitState::HalfOpen);
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    one.process.behave(&ok());
    assert_eq!(
        status(&upstream, get(), options(Retry::Safe)).await,
        Ok(200)
    );
}

#[tokio::test]
async fn problems_and_refusals_and_callers_in_a_hurry_open_nothing() {
    for code in [400, 404, 409, 429, 500, 503] {
        let one = start(&UpstreamBehaviour::answer(code));
        let upstream = quick(&one);
        for _ in 0..10 {
            assert_eq!(status(&upstream, get(), once()).await, Ok(code));
        }
        let status = &upstream.status()[0];
        assert_eq!((status.state, status.failures), (CircuitState::Closed, 0));
    }
    let one = start(&UpstreamBehaviour::silent());
    let upstream = quick(&one);
    let hurried = CallOptions {
        is_shortened: true,
        deadline: 20 * MS,
        attempt: 20 * MS,
        ..once()
    };
    for _ in 0..10 {
        let told = status(&upstream, get(), hurried.clone()).await;
        assert!(told.is_err());
    }
    let seen = &upstream.status()[0];
    assert_eq!((seen.state, seen.failures), (CircuitState::Closed, 0));
    let own = CallOptions {
        is_shortened: false,
        ..hurried
    };
    for _ in 0..5 {
        assert!(status(&upstream, get(), own.clone()).await.is_err());
    }
    assert_eq!(upstream.status()[0].state, CircuitState::Open);
}
