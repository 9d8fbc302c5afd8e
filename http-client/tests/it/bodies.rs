//! Which bodies are sent again.

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use http_client::{Body, BoxError, CallOptions, Retry, body};
use testing::UpstreamBehaviour;

use crate::fixture::*;

const KEPT: usize = 256 * 1024;

/// A body that does not say how long it is.
fn pieces(bytes: usize) -> Body {
    let whole = Bytes::from(vec![b'x'; bytes]);
    let frames = (0..bytes).step_by(10_000).map(move |from| {
        let to = (from + 10_000).min(bytes);
        Ok::<_, BoxError>(Frame::data(whole.slice(from..to)))
    });
    body::stream(StreamBody::new(stream::iter(frames)))
}

#[tokio::test]
async fn a_body_of_256_kib_is_repeated_and_one_byte_more_is_not() {
    let mut one = start(&ok());
    let upstream = client(&[&one]);
    for body_of in [pieces, |bytes| body::full(vec![b'x'; bytes])] {
        let turns = || UpstreamBehaviour::in_turn([UpstreamBehaviour::reset(), ok()]);
        one.process.behave(&turns());
        let before = one.process.requests().len();
        let request = post_with("a", body_of(KEPT));
        let told = status(&upstream, request, options(Retry::Keyed)).await;
        assert_eq!(told, Ok(200));
        let requests = one.process.requests().split_off(before);
        let bytes: Vec<_> = requests.iter().map(|one| one.body_bytes).collect();
        assert_eq!(bytes, [KEPT as u64, KEPT as u64]);
        assert_eq!(requests[0].body_sha256, requests[1].body_sha256);

        one.process.behave(&turns());
        let before = one.process.requests().len();
        let request = post_with("b", body_of(KEPT + 1));
        let told = status(&upstream, request, options(Retry::Keyed)).await;
        assert!(is_unknown(&told), "{told:?}");
        let requests = one.process.requests().split_off(before);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].body_bytes, KEPT as u64 + 1);
    }
}

#[tokio::test]
async fn a_long_body_survives_an_instance_that_takes_no_connection() {
    let mut dead = start(&ok());
    let alive = start(&ok());
    let upstream = client(&[&dead, &alive]);
    dead.process.kill();
    for retry in [Retry::Never, Retry::Keyed] {
        for _ in 0..4 {
            let request = post_with("a", pieces(10 * KEPT));
            assert_eq!(status(&upstream, request, options(retry)).await, Ok(200));
        }
    }
    let requests = alive.process.requests();
    assert_eq!(requests.len(), 8);
    assert!(
        requests
            .iter()
            .all(|one| one.body_bytes == 10 * KEPT as u64)
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_not_sent_and_speaks_against_nobody() {
    let one = start(&ok());
    let upstream = client(&[&one]);
    let never = body::stream(StreamBody::new(stream::pending::<Result<_, BoxError>>()));
    let hurried = CallOptions {
        deadline: 100 * MS,
        attempt: 100 * MS,
        ..options(Retry::Keyed)
    };
    let told = status(&upstream, post_with("a", never), hurried).await;
    assert!(is_not_sent(&told), "{told:?}");
    let broken = stream::iter([Err::<Frame<Bytes>, BoxError>("the client went away".into())]);
    let broken = body::stream(StreamBody::new(broken));
    let told = status(&upstream, post_with("a", broken), options(Retry::Keyed)).await;
    assert!(is_not_sent(&told), "{told:?}");
    assert_eq!(one.process.requests().len(), 0);
    assert_eq!(upstream.status()[0].requests, 0);
}

#[tokio::test]
async fn a_long_body_that_breaks_off_speaks_against_nobody() {
    let one = start(&ok());
    let upstream = client(&[&one]);
    let frames = (0..40).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 10_000]))));
    let frames = frames.chain([Err::<_, BoxError>("the client went away".into())]);
    let broken = body::stream(StreamBody::new(stream::iter(frames)));
    let told = status(&upstream, post_with("a", broken), options(Retry::Keyed)).await;
    assert!(is_unknown(&told), "{told:?}");
    assert_eq!(one.process.requests().len(), 0);
    assert_eq!(upstream.status()[0].failures, 0);
}
