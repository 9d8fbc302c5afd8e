//! Public reads: compressed, and known again.

use testing::UpstreamBehaviour;

use crate::door::Door;

fn json(bytes: usize) -> UpstreamBehaviour {
    UpstreamBehaviour::answer(200)
        .header("Content-Type", "application/json")
        .header("ETag", "\"7\"")
        .body_bytes(bytes)
}

#[tokio::test]
async fn long_public_answers_are_compressed_and_their_tags_are_weak() {
    let door = Door::open(json(4_000)).await;
    for coding in ["gzip", "br"] {
        let request = door.get("/api/v1/products/p1");
        let answer = request
            .header("accept-encoding", coding)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["content-encoding"], coding);
        assert_eq!(answer.headers()["etag"], "W/\"7\"");
        let vary = answer.headers()["vary"].to_str().unwrap().to_lowercase();
        assert!(vary.contains("accept-encoding"), "{vary}");
        assert!(answer.bytes().await.unwrap().len() < 1_000);
    }
    let plain = door.get("/api/v1/products/p1").send().await.unwrap();
    assert_eq!(plain.headers()["etag"], "\"7\"");
    assert!(plain.headers().get("content-encoding").is_none());
}

#[tokio::test]
async fn short_and_private_answers_are_not() {
    let mut door = Door::open(json(500)).await;
    let request = door.get("/api/v1/products/p1");
    let answer = request
        .header("accept-encoding", "br")
        .send()
        .await
        .unwrap();
    assert!(answer.headers().get("content-encoding").is_none());

    door.upstream.behave(&json(4_000));
    let request = door.get("/api/v1/orders").bearer_auth(door.token());
    let answer = request
        .header("accept-encoding", "br")
        .send()
        .await
        .unwrap();
    assert!(answer.headers().get("content-encoding").is_none());
    assert_eq!(answer.headers()["cache-control"], "private, no-cache");
}

#[tokio::test]
async fn a_head_goes_where_the_get_does() {
    let door = Door::open(json(4_000)).await;
    let url = format!("{}/api/v1/products/p1", door.url);
    let answer = door.client().head(url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["etag"], "\"7\"");
    assert_eq!(door.upstream.requests()[0].method, "HEAD");
}
