use axum::body::Body;
use axum::http::Method;
use axum::response::Response;
use http_body_util::BodyExt as _;
use http_server::Role;
use serde_json::Value;

use crate::seed::receive_many;
use crate::{Api, PATIENCE};

/// A tail as a client reads it.
struct Tail {
    body: Body,
    text: String,
}

impl Tail {
    async fn open(api: &Api, query: &str, headers: &[(&str, &str)]) -> Response {
        let admin = api.bearer("u-admin", Role::Admin);
        let mut with_token = vec![("authorization", admin.as_str())];
        with_token.extend(headers);
        let path = format!("events/tail{query}");
        api.send(Method::GET, &path, &with_token, None).await
    }

    async fn follow(api: &Api, query: &str, headers: &[(&str, &str)]) -> Self {
        let response = Tail::open(api, query, headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Tail {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// Id and data of the next message.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| {
                    let mut lines = message.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                let found = line("id: ").zip(line("data: "));
                self.text = rest.to_owned();
                if let Some((id, data)) = found {
                    return (id, serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame.expect("a message in time").expect("no end");
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    async fn expect(&mut self, positions: std::ops::RangeInclusive<i64>) {
        for position in positions {
            let (id, event) = self.next().await;
            assert_eq!(id, position.to_string());
            assert_eq!(event["position"], position);
            assert_eq!(event["type"], "inventory.received");
        }
    }
}

#[tokio::test]
async fn a_tail_shows_what_is_appended_and_resumes_after_the_last_id() {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 3).await;
    let mut tail = Tail::follow(&api, "", &[]).await;
    receive_many(&api.store, "store-1:A", 2).await;
    tail.expect(4..=5).await;
    drop(tail);

    receive_many(&api.store, "store-1:A", 2).await;
    let mut tail = Tail::follow(&api, "", &[("last-event-id", "5")]).await;
    tail.expect(6..=7).await;
    receive_many(&api.store, "store-1:A", 1).await;
    tail.expect(8..=8).await;

    let mut from_the_start = Tail::follow(&api, "?from_position=1", &[]).await;
    from_the_start.expect(1..=8).await;
}

#[tokio::test]
async fn a_tail_reads_a_long_log_in_pages() {
    let api = Api::start().await;
    let appended = 300;
    let receiving = (0..appended).map(|_| receive_many(&api.store, "store-1:A", 1));
    futures::future::join_all(receiving).await;
    let mut tail = Tail::follow(&api, "?from_position=1", &[]).await;
    tail.expect(1..=appended).await;
}

#[tokio::test]
async fn an_id_that_no_tail_handed_out_is_refused() {
    let api = Api::start().await;
    for wrong in ["1", "-1", "x"] {
        let response = Tail::open(&api, "", &[("last-event-id", wrong)]).await;
        assert_eq!(response.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn tails_are_bounded() {
    let api = Api::start().await;
    let mut tails = Vec::new();
    loop {
        let response = Tail::open(&api, "", &[]).await;
        if response.status() == 503 {
            assert!(response.headers().contains_key("retry-after"));
            break;
        }
        tails.push(response);
        assert!(tails.len() < 1_000);
    }
    tails.pop();
    assert_eq!(Tail::open(&api, "", &[]).await.status(), 200);
}
