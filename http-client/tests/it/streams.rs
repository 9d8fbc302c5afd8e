//! Bodies without end, in either direction.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use http_client::{Body, BoxError, CallError, CallOptions, Retry, body};
use testing::UpstreamBehaviour;
use tokio::time::sleep;

use crate::fixture::*;

fn idle(retry: Retry, idle: Duration) -> CallOptions {
    CallOptions {
        idle: Some(idle),
        // Neither counts.
        deadline: MS,
        attempt: MS,
        ..options(retry)
    }
}

/// A client that sends a piece after each pause.
fn dripping(pieces: usize, pause: Duration) -> Body {
    let frames = stream::unfold(0, move |sent| async move {
        if sent == pieces {
            return None;
        }
        sleep(pause).await;
        let frame = Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"line\n")));
        Some((frame, sent + 1))
    });
    body::stream(StreamBody::new(Box::pin(frames)))
}

#[tokio::test]
async fn events_go_on_for_as_long_as_they_come_and_end_with_their_reader() {
    let one = start(&UpstreamBehaviour::events(50 * MS));
    let upstream = client(&[&one]);
    let response = upstream
        .call(get(), idle(Retry::Safe, 1000 * MS))
        .await
        .unwrap();
    let mut body = response.into_body();
    for _ in 0..30 {
        body.frame().await.unwrap().unwrap();
    }
    assert_eq!(upstream.status()[0].in_flight, 1);
    assert_eq!(one.process.listening(), 1);
    drop(body);
    let gone = async || one.process.listening() == 0;
    testing::until("the upstream has seen the reader go", LONG, gone).await;
    assert_eq!(upstream.status()[0].in_flight, 0);
}

#[tokio::test]
async fn a_stream_that_stands_still_ends() {
    let one = start(&UpstreamBehaviour::events(LONG));
    let upstream = client(&[&one]);
    let response = upstream
        .call(get(), idle(Retry::Safe, 200 * MS))
        .await
        .unwrap();
    let mut body = response.into_body();
    let told = async {
        while let Some(frame) = body.frame().await {
            if let Err(error) = frame {
                return error.to_string();
            }
        }
        "the end".to_owned()
    };
    let told = tokio::time::timeout(LONG / 2, told).await.unwrap();
    assert!(told.contains("nothing came for 200ms"), "{told}");
    assert_eq!(upstream.status()[0].failures, 1);
}

#[tokio::test]
async fn a_stream_whose_answer_does_not_begin_ends_as_well() {
    let one = start(&UpstreamBehaviour::silent());
    let upstream = client(&[&one]);
    let told = upstream.call(get(), idle(Retry::Never, 200 * MS)).await;
    let error = told.err().unwrap();
    assert!(matches!(
        error,
        CallError::Unknown {
            is_timeout: true,
            ..
        }
    ));
    assert_eq!(upstream.status()[0].failures, 1);
}

#[tokio::test]
async fn an_upload_may_take_longer_than_any_deadline_while_it_moves() {
    let one = start(&ok());
    let upstream = client(&[&one]);
    let request = post_with("a", dripping(10, 100 * MS));
    let told = status(&upstream, request, idle(Retry::Never, 500 * MS)).await;
    assert_eq!(told, Ok(200));
    assert_eq!(one.process.requests()[0].body_bytes, 50);
}

#[tokio::test]
async fn an_upload_whose_client_stops_ends_and_speaks_against_nobody() {
    let one = start(&ok());
    let upstream = client(&[&one]);
    let request = post_with("a", dripping(2, LONG));
    let told = status(&upstream, request, idle(Retry::Never, 200 * MS)).await;
    assert!(is_unknown(&told), "{told:?}");
    assert_eq!(upstream.status()[0].failures, 0);
}

#[tokio::test]
async fn a_stream_without_a_body_goes_on_to_another_instance() {
    let mut dead = start(&ok());
    let alive = start(&UpstreamBehaviour::events(50 * MS));
    let upstream = client(&[&dead, &alive]);
    dead.process.kill();
    for _ in 0..4 {
        let response = upstream.call(get(), idle(Retry::Safe, LONG)).await.unwrap();
        assert_eq!(response.status(), 200);
    }
}
