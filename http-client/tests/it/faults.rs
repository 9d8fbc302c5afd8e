//! One instance, and one fault.

use std::time::Instant;

use http_client::{CallError, CallOptions, Retry, UpstreamSettings, read_capped};
use testing::UpstreamBehaviour;

use crate::fixture::*;

#[tokio::test]
async fn one_that_refuses_was_not_sent_anything_and_its_address_is_not_told() {
    let mut one = start(&ok());
    one.process.kill();
    for retry in [Retry::Safe, Retry::Keyed, Retry::Never] {
        let upstream = client(&[&one]);
        let error = status(&upstream, get(), options(retry)).await.unwrap_err();
        assert!(matches!(error, CallError::NotSent { .. }), "{error}");
        let told = error.to_string();
        assert!(told.contains("refused"), "{told}");
        assert!(!told.contains("127.0.0.1"), "{told}");
    }
}

#[tokio::test]
async fn one_that_takes_no_connection_was_not_sent_anything() {
    let mut one = start(&ok());
    one.process.accept(false);
    let settings = UpstreamSettings {
        connect_timeout: 200 * MS,
        ..UpstreamSettings::default()
    };
    let upstream = client_with(&[&one], settings);
    let begun = Instant::now();
    let once = status(&upstream, post("a"), CallOptions::once(LONG)).await;
    assert!(is_not_sent(&once), "{once:?}");
    assert!(begun.elapsed() < LONG / 2);
    // Also where the attempt is over before the connection is given up.
    let short = CallOptions::once(50 * MS);
    let short = status(&upstream, post("b"), short).await;
    assert!(is_not_sent(&short), "{short:?}");
    one.process.accept(true);
    let after = status(&upstream, post("c"), options(Retry::Keyed)).await;
    assert_eq!(after, Ok(200));
    assert_eq!(one.process.effects().len(), 1);
}

#[tokio::test]
async fn one_that_is_slow_is_waited_for_and_one_that_is_too_slow_is_asked_again() {
    let slow = ok().delay(300 * MS);
    let one = start(&UpstreamBehaviour::in_turn([slow.clone(), slow, ok()]));
    let upstream = client(&[&one]);
    let patient = options(Retry::Safe);
    assert_eq!(status(&upstream, get(), patient.clone()).await, Ok(200));
    assert_eq!(one.process.requests().len(), 1);
    let hurried = CallOptions {
        attempt: 150 * MS,
        ..patient
    };
    assert_eq!(status(&upstream, get(), hurried).await, Ok(200));
    assert_eq!(one.process.requests().len(), 3);
}

#[tokio::test]
async fn one_that_breaks_before_its_answer_is_asked_again_where_that_does_no_harm() {
    for broken in [UpstreamBehaviour::reset(), UpstreamBehaviour::hang_up()] {
        let turns = || UpstreamBehaviour::in_turn([broken.clone(), ok()]);
        let mut one = start(&turns());
        let upstream = client(&[&one]);
        assert_eq!(
            status(&upstream, get(), options(Retry::Safe)).await,
            Ok(200)
        );
        one.process.behave(&turns());
        let keyed = status(&upstream, post("a"), options(Retry::Keyed)).await;
        assert_eq!(keyed, Ok(200));
        assert_eq!(one.process.requests().len(), 4);
        assert_eq!(one.process.effects().len(), 1);
        one.process.behave(&turns());
        let never = status(&upstream, post("b"), options(Retry::Never)).await;
        assert!(is_unknown(&never), "{never:?}");
        assert_eq!(one.process.requests().len(), 5);
    }
}

#[tokio::test]
async fn what_may_have_arrived_is_not_called_not_sent_because_the_next_attempt_was_not() {
    let mut one = start(&UpstreamBehaviour::silent());
    let upstream = client(&[&one]);
    let hurried = CallOptions {
        attempt: 300 * MS,
        ..options(Retry::Keyed)
    };
    let calling = tokio::spawn({
        let upstream = upstream.clone();
        async move { status(&upstream, post("a"), hurried).await }
    });
    let requests = async || !one.process.requests().is_empty();
    testing::until("the request is there", LONG, requests).await;
    one.process.kill();
    let lost = calling.await.unwrap();
    assert!(is_unknown(&lost), "{lost:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_in_the_middle_is_an_error_of_its_body_and_nothing_is_repeated() {
    for broken in [
        UpstreamBehaviour::reset_midway(1000),
        UpstreamBehaviour::hang_up_midway(1000),
    ] {
        let one = start(&broken);
        let upstream = client(&[&one]);
        let response = upstream.call(get(), options(Retry::Safe)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(read_capped(response.into_body(), 2000).await.is_err());
        assert_eq!(one.process.requests().len(), 1);
        let status = &upstream.status()[0];
        assert_eq!((status.failures, status.in_flight), (1, 0));
    }
}

#[tokio::test]
async fn a_503_is_repeated_and_its_retry_after_obeyed() {
    let busy = UpstreamBehaviour::answer(503);
    let mut one = start(&UpstreamBehaviour::in_turn([busy.clone(), ok()]));
    let upstream = client(&[&one]);
    assert_eq!(
        status(&upstream, get(), options(Retry::Safe)).await,
        Ok(200)
    );
    let later = busy.header("Retry-After", "1");
    one.process
        .behave(&UpstreamBehaviour::in_turn([later.clone(), ok()]));
    let begun = Instant::now();
    assert_eq!(
        status(&upstream, get(), options(Retry::Safe)).await,
        Ok(200)
    );
    assert!(begun.elapsed() >= 1000 * MS);
    one.process
        .behave(&UpstreamBehaviour::in_turn([later.body("busy"), ok()]));
    // It does not fit, so it is told at once, as it is.
    let hurried = CallOptions::safe(900 * MS);
    let told = answer(&upstream, get(), hurried).await;
    assert_eq!(told, Ok((503, "busy".to_owned())));
    assert_eq!(one.process.requests().len(), 5);
    assert_eq!(upstream.status()[0].failures, 0);
}

#[tokio::test]
async fn answers_that_say_something_are_passed_on_whole() {
    for (retry, code, problem) in [
        (Retry::Safe, 503, "projection-behind"),
        (Retry::Safe, 503, "outcome-unknown"),
        (Retry::Keyed, 409, "sku-taken"),
        (Retry::Keyed, 429, "too-many-requests"),
        (Retry::Never, 503, "overloaded"),
    ] {
        let one = start(&UpstreamBehaviour::problem(code, problem));
        let upstream = client(&[&one]);
        let (status, body) = answer(&upstream, post("a"), options(retry)).await.unwrap();
        assert_eq!(status, code);
        assert!(body.contains(problem), "{body}");
        assert_eq!(one.process.requests().len(), 1);
    }
}

#[tokio::test]
async fn one_that_flaps_fails_nobody() {
    let mut turns = vec![ok(); 19];
    turns.push(UpstreamBehaviour::reset());
    let one = start(&UpstreamBehaviour::in_turn(turns));
    let upstream = client(&[&one]);
    for number in 0..190 {
        let key = format!("key-{number}");
        let told = status(&upstream, post(&key), options(Retry::Keyed)).await;
        assert_eq!(told, Ok(200), "{number}");
    }
    // Each failure is repeated, and the last one is not met any more.
    assert_eq!(one.process.requests().len(), 199);
    assert_eq!(one.process.effects().len(), 190);
}

#[tokio::test]
async fn a_kept_connection_that_breaks_costs_nothing_and_speaks_against_nobody() {
    // Each second request meets a connection that has answered before.
    let turns = [ok(), UpstreamBehaviour::reset()];
    let one = start(&UpstreamBehaviour::in_turn(turns));
    let upstream = client(&[&one]);
    for number in 0..60 {
        let told = status(&upstream, get(), options(Retry::Safe)).await;
        assert_eq!(told, Ok(200), "{number}");
    }
    assert_eq!(one.process.requests().len(), 119);
    assert_eq!(upstream.status()[0].failures, 0);
}

#[tokio::test]
async fn behind_the_first_hop_nothing_is_repeated_that_may_have_arrived() {
    let mut one = start(&UpstreamBehaviour::reset());
    let upstream = client(&[&one]);
    let behind = |retry| CallOptions {
        hops: 1,
        ..options(retry)
    };
    let lost = status(&upstream, get(), behind(Retry::Safe)).await;
    assert!(is_unknown(&lost), "{lost:?}");
    one.process.behave(&UpstreamBehaviour::answer(503));
    assert_eq!(status(&upstream, get(), behind(Retry::Safe)).await, Ok(503));
    assert_eq!(one.process.requests().len(), 2);
}

#[tokio::test]
async fn what_must_not_be_repeated_is_sent_once_whatever_comes_of_it() {
    for behaviour in [
        UpstreamBehaviour::reset(),
        UpstreamBehaviour::hang_up(),
        UpstreamBehaviour::silent(),
        UpstreamBehaviour::answer(502),
        UpstreamBehaviour::answer(503),
        UpstreamBehaviour::answer(504),
        UpstreamBehaviour::in_flight(1),
    ] {
        let (one, other) = (start(&behaviour), start(&behaviour));
        let upstream = client(&[&one, &other]);
        let hurried = CallOptions {
            attempt: 300 * MS,
            ..options(Retry::Never)
        };
        let told = status(&upstream, post("a"), hurried).await;
        assert_ne!(told, Ok(200));
        let requests = one.process.requests().len() + other.process.requests().len();
        assert_eq!(requests, 1, "{told:?}");
    }
}
