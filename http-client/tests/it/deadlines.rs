//! How long a call takes at most.

use std::time::{Duration, Instant};

use http_client::{CallError, CallOptions, Retry, UpstreamSettings};
use testing::{ClosedBy, UpstreamBehaviour};

use crate::fixture::*;

fn own() -> UpstreamSettings {
    UpstreamSettings {
        service_token: Some("token".into()),
        ..UpstreamSettings::default()
    }
}

#[tokio::test]
async fn a_call_ends_with_its_deadline_and_each_attempt_is_told_what_is_left() {
    let one = start(&UpstreamBehaviour::silent());
    let upstream = client_with(&[&one], own());
    let deadline = 1000 * MS;
    let hurried = CallOptions {
        deadline,
        attempt: 400 * MS,
        ..options(Retry::Safe)
    };
    let begun = Instant::now();
    let error = status(&upstream, get(), hurried).await.unwrap_err();
    let took = begun.elapsed();
    assert!(matches!(
        error,
        CallError::Unknown {
            is_timeout: true,
            ..
        }
    ));
    assert!(
        took >= 900 * MS && took < deadline + Duration::from_secs(5),
        "{took:?}"
    );
    let left: Vec<u64> = one
        .process
        .requests()
        .iter()
        .map(|request| request.values("nakku-timeout-ms")[0].parse().unwrap())
        .collect();
    assert_eq!(left[..2], [400, 400]);
    assert!(
        left.len() <= 3 && left[2..].iter().all(|left| *left < 400),
        "{left:?}"
    );
}

#[tokio::test]
async fn past_the_deadline_nothing_is_begun() {
    let one = start(&ok());
    let upstream = client(&[&one]);
    let told = status(&upstream, get(), CallOptions::safe(Duration::ZERO)).await;
    assert!(is_not_sent(&told), "{told:?}");
    assert_eq!(one.process.connections().len(), 0);
}

#[tokio::test]
async fn a_caller_who_goes_away_takes_the_attempt_with_it() {
    let one = start(&UpstreamBehaviour::silent());
    let upstream = client(&[&one]);
    let calling = tokio::spawn({
        let upstream = upstream.clone();
        async move { status(&upstream, get(), options(Retry::Safe)).await }
    });
    let sent = async || !one.process.requests().is_empty();
    testing::until("the request is there", LONG, sent).await;
    assert_eq!(upstream.status()[0].in_flight, 1);
    calling.abort();
    let closed = async || {
        let connections = one.process.connections();
        matches!(connections[0].closed, Some((ClosedBy::Client, _)))
    };
    testing::until("the connection is closed", LONG, closed).await;
    let status = &upstream.status()[0];
    assert_eq!((status.in_flight, status.failures), (0, 0));
}
