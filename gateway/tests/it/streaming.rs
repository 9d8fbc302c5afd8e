//! Bodies that pass as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::{StreamExt, stream};
use testing::{UpstreamBehaviour, until};

use crate::door::{ANSWER_MAX, Door};

const PIECE_BYTES: usize = 64 * 1024;
/// What may be on its way: buffers of three sockets and of the two servers.
const UNDER_WAY_BYTES_MAX: usize = 16 * 1024 * 1024;

fn import(door: &Door, pieces: usize, sent: &Arc<AtomicUsize>) -> reqwest::RequestBuilder {
    let sent = Arc::clone(sent);
    let body = stream::iter(0..pieces).map(move |_| {
        sent.fetch_add(PIECE_BYTES, Ordering::Relaxed);
        Ok::<_, std::io::Error>(vec![b'x'; PIECE_BYTES])
    });
    door.post("/api/v1/products/import")
        .header("content-type", "application/x-ndjson")
        .body(reqwest::Body::wrap_stream(body))
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_megabytes_go_in_as_they_come() {
    let door = Door::open(UpstreamBehaviour::answer(200).body("{}")).await;
    let sent = Arc::default();
    let answer = import(&door, 640, &sent).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let request = &door.upstream.requests()[0];
    assert_eq!(request.body_bytes, 40 * 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upstream_slows_its_client_down_and_nothing_piles_up() {
    const SLOW: u32 = 256 * 1024;
    let slow = UpstreamBehaviour::answer(200).read_bytes_per_second(SLOW);
    let door = Door::open(slow).await;
    let sent = Arc::default();
    let sending = tokio::spawn(import(&door, 1_600, &sent).send());
    // It comes to a halt where everything on the way is full.
    let mut before = 0;
    until("the client is slowed down", ANSWER_MAX, async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = sent.load(Ordering::Relaxed);
        let is_slow = now > 0 && now - before <= 2 * SLOW as usize;
        before = now;
        is_slow
    })
    .await;
    assert!(before < UNDER_WAY_BYTES_MAX, "{before} bytes are under way");
    sending.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_at_once_and_a_client_that_goes_ends_them() {
    let door = Door::open(UpstreamBehaviour::events(Duration::from_millis(50))).await;
    let request = door
        .get("/api/v1/orders/o1/events")
        .bearer_auth(door.token())
        .header("accept-encoding", "gzip, br");
    let answer = request.send().await.unwrap();
    assert!(answer.headers().get("content-encoding").is_none());
    let mut events = answer.bytes_stream();
    for _ in 0..5 {
        let event = tokio::time::timeout(ANSWER_MAX, events.next()).await;
        assert!(event.unwrap().unwrap().unwrap().starts_with(b":"));
    }
    assert_eq!(door.upstream.listening(), 1);
    drop(events);
    until("the upstream's client is gone", ANSWER_MAX, async || {
        door.upstream.listening() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_gives_up_gives_up_the_upstream() {
    let door = Door::open(UpstreamBehaviour::silent()).await;
    let asking = tokio::spawn(door.get("/api/v1/products").send());
    until("the upstream was asked", ANSWER_MAX, async || {
        door.upstream.requests().len() == 1
    })
    .await;
    asking.abort();
    until("its connection is closed", ANSWER_MAX, async || {
        door.upstream.open() == 0
    })
    .await;
}
