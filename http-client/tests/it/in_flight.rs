//! A repetition that meets its own running original.

use http_client::{CallOptions, Retry};
use testing::UpstreamBehaviour;

use crate::fixture::*;

#[tokio::test]
async fn a_running_original_is_waited_for() {
    let one = start(&UpstreamBehaviour::in_flight(6));
    let upstream = client(&[&one]);
    let told = status(&upstream, post("a"), options(Retry::Keyed)).await;
    assert_eq!(told, Ok(201));
    assert_eq!(one.process.requests().len(), 7);
    assert_eq!(one.process.effects().len(), 1);
    let status = &upstream.status()[0];
    assert_eq!((status.failures, status.requests), (0, 7));
}

#[tokio::test]
async fn waiting_takes_nothing_from_the_budget() {
    let mut one = start(&UpstreamBehaviour::in_flight(2));
    let upstream = client(&[&one]);
    for number in 0..20 {
        let key = format!("key-{number}");
        let told = status(&upstream, post(&key), options(Retry::Keyed)).await;
        assert_eq!(told, Ok(201));
    }
    let turns = [UpstreamBehaviour::reset(), ok()];
    one.process.behave(&UpstreamBehaviour::in_turn(turns));
    let told = status(&upstream, post("a"), options(Retry::Keyed)).await;
    assert_eq!(told, Ok(200));
}

#[tokio::test]
async fn an_original_that_outlasts_the_deadline_is_told_as_it_is() {
    let one = start(&UpstreamBehaviour::in_flight(10_000));
    let upstream = client(&[&one]);
    let hurried = CallOptions {
        deadline: 500 * MS,
        attempt: 250 * MS,
        ..options(Retry::Keyed)
    };
    let (status, body) = answer(&upstream, post("a"), hurried).await.unwrap();
    assert_eq!(status, 409);
    assert!(body.contains("command-in-flight"), "{body}");
    assert!(one.process.requests().len() > 2);
}

#[tokio::test]
async fn who_comes_second_by_himself_is_told_at_once() {
    for options in [
        options(Retry::Never),
        CallOptions {
            hops: 1,
            ..options(Retry::Keyed)
        },
    ] {
        let one = start(&UpstreamBehaviour::in_flight(1));
        let upstream = client(&[&one]);
        assert_eq!(status(&upstream, post("a"), options).await, Ok(409));
        assert_eq!(one.process.requests().len(), 1);
    }
}
