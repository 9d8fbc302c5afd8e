use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use http_body_util::BodyExt as _;
use http_server::Role;
use read_models::generations;
use read_models::timeline::{self, Entry};
use serde_json::Value;
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::seed::{Rows, advance, go_live};
use crate::timeline::{CUSTOMER, ORDER, OTHER, entry};
use crate::{Api, PATIENCE};

/// A stream as a client reads it.
struct Stream {
    body: Body,
    text: String,
}

async fn open(api: &Api, order_id: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::get(format!("/api/v1/orders/{order_id}/events"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    api.router.clone().oneshot(request).await.unwrap()
}

impl Stream {
    /// As the customer, after the last position that arrived.
    async fn follow(api: &Api, order_id: Uuid, last: Option<i64>) -> Self {
        let token = api.bearer(&CUSTOMER.to_string(), Role::Customer);
        let last = last.map(|position| position.to_string());
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend(last.iter().map(|last| ("last-event-id", last.as_str())));
        let response = open(api, &order_id.to_string(), &headers).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Stream {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// What stands between two empty lines.
    async fn block(&mut self) -> String {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return block;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame.expect("something in time").expect("no end");
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The position of the next message, which is whole.
    async fn next(&mut self) -> i64 {
        loop {
            let block = self.block().await;
            if block.starts_with(':') {
                continue;
            }
            let line = |name: &str| {
                let mut found = block.lines().filter_map(|line| line.strip_prefix(name));
                let line = found.next().unwrap_or_else(|| panic!("{name}in {block}"));
                assert_eq!(found.next(), None, "{block}");
                line.to_owned()
            };
            let item: Value = serde_json::from_str(&line("data: ")).unwrap();
            assert_eq!(line("id: "), item["position"].to_string());
            assert_eq!(line("event: "), item["type"].as_str().unwrap());
            return item["position"].as_i64().unwrap();
        }
    }

    async fn expect(&mut self, positions: impl IntoIterator<Item = i64>) {
        for position in positions {
            assert_eq!(self.next().await, position);
        }
    }
}

/// Items of one order, those of the other in between, as a batch of the projection adds them.
async fn grow(api: &Api, generation: i32, positions: std::ops::RangeInclusive<i64>) {
    let to = *positions.end();
    let rows: Vec<Entry> = positions.map(alternating).collect();
    let mut transaction = api.pool().begin().await.unwrap();
    timeline::insert(&mut *transaction, generation, &rows)
        .await
        .unwrap();
    advance(&mut *transaction, timeline::NAME, generation, to).await;
    transaction.commit().await.unwrap();
}

fn alternating(position: i64) -> Entry {
    let order_id = if position % 2 == 1 { ORDER } else { OTHER };
    entry(order_id, position)
}

fn odd(from: i64, to: i64) -> impl Iterator<Item = i64> {
    (from..=to).filter(|position| position % 2 == 1)
}

async fn with_items(upto: i64) -> Api {
    let api = Api::start().await;
    let rows: Vec<Entry> = (1..=upto).map(alternating).collect();
    go_live(api.pool(), timeline::NAME, Rows::Timeline(&rows), upto).await;
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_shows_what_was_and_then_what_comes() {
    let api = with_items(4).await;
    let mut one = Stream::follow(&api, ORDER, None).await;
    let mut same = Stream::follow(&api, ORDER, Some(3)).await;
    let mut other = Stream::follow(&api, OTHER, None).await;
    one.expect([1, 3]).await;
    other.expect([2, 4]).await;
    for to in 5..=40 {
        grow(&api, 1, to..=to).await;
    }
    one.expect(odd(5, 40)).await;
    same.expect(odd(5, 40)).await;
    other.expect((6..=40).step_by(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_after_any_item_goes_on_with_the_next() {
    const LAST: i64 = 61;
    let api = with_items(1).await;
    let growing = async {
        for from in (2..LAST).step_by(3) {
            grow(&api, 1, from..=(from + 2).min(LAST)).await;
        }
    };
    let reading = async {
        let mut last = None;
        let mut seen = Vec::new();
        while last != Some(LAST) {
            let mut stream = Stream::follow(&api, ORDER, last).await;
            last = Some(stream.next().await);
            seen.extend(last);
        }
        seen
    };
    let ((), seen) = tokio::join!(growing, reading);
    assert_eq!(seen, odd(1, LAST).collect::<Vec<_>>());
    for cut in odd(1, LAST - 1) {
        let mut stream = Stream::follow(&api, ORDER, Some(cut)).await;
        stream.expect(odd(cut + 1, LAST)).await;
    }
    // The last position that arrived need not be one of this order.
    Stream::follow(&api, ORDER, Some(LAST - 1))
        .await
        .expect([LAST])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_of_generations_neither_loses_nor_repeats() {
    let api = with_items(5).await;
    let mut stream = Stream::follow(&api, ORDER, None).await;
    stream.expect([1, 3, 5]).await;
    // The next one is built beside it, and goes live with more.
    let rows: Vec<Entry> = (1..=9).map(alternating).collect();
    go_live(api.pool(), timeline::NAME, Rows::Timeline(&rows), 9).await;
    stream.expect([7, 9]).await;
    grow(&api, 2, 10..=11).await;
    stream.expect([11]).await;
    // With what both have: nothing is repeated.
    let rows: Vec<Entry> = (1..=11).map(alternating).collect();
    go_live(api.pool(), timeline::NAME, Rows::Timeline(&rows), 11).await;
    timeline::MODEL
        .drop_generation(api.pool(), 1)
        .await
        .unwrap();
    grow(&api, 3, 12..=15).await;
    stream.expect([13, 15]).await;
    // None answers for a while.
    let shape = async |shape: &str| {
        sqlx::query("update projections set live_shape = $1")
            .bind(shape)
            .execute(api.pool())
            .await
            .unwrap();
    };
    shape("timeline-0").await;
    grow(&api, 3, 16..=17).await;
    shape(timeline::SHAPE).await;
    stream.expect([17]).await;
    let mut connection = api.pool().acquire().await.unwrap();
    let live = generations::rollback(&mut connection, timeline::NAME, timeline::SHAPE);
    assert_eq!(live.await.unwrap(), 2);
    grow(&api, 2, 12..=19).await;
    stream.expect([19]).await;
}

#[tokio::test]
async fn the_order_of_somebody_else_has_no_stream() {
    let api = with_items(4).await;
    let foreign = api.bearer("somebody", Role::Customer);
    let own = api.bearer(&CUSTOMER.to_string(), Role::Customer);
    let order_id = ORDER.to_string();
    let unknown = CUSTOMER.to_string();
    for (token, order_id, status) in [
        (Some(&foreign), order_id.as_str(), 404),
        (Some(&own), &unknown, 404),
        (Some(&own), "7", 404),
        (None, &order_id, 401),
    ] {
        let headers: Vec<_> = token
            .iter()
            .map(|it| ("authorization", it.as_str()))
            .collect();
        let response = open(&api, order_id, &headers).await;
        assert_eq!(response.status(), status, "{order_id}");
    }
    let staff = api.bearer("somebody", Role::Staff);
    let response = open(&api, &order_id, &[("authorization", &staff)]).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["nakku-position"], "4");
}

#[tokio::test]
async fn an_id_that_no_stream_handed_out_is_refused() {
    let api = with_items(4).await;
    let own = api.bearer(&CUSTOMER.to_string(), Role::Customer);
    for wrong in ["5", "-1", "x", "", "1,2", "99999999999999999999"] {
        let headers = [("authorization", own.as_str()), ("last-event-id", wrong)];
        let response = open(&api, &ORDER.to_string(), &headers).await;
        assert_eq!(response.status(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn streams_of_one_order_are_bounded_and_come_free() {
    let api = with_items(4).await;
    let own = api.bearer(&CUSTOMER.to_string(), Role::Customer);
    let mut streams = Vec::new();
    loop {
        let response = open(&api, &ORDER.to_string(), &[("authorization", &own)]).await;
        if response.status() == 503 {
            assert!(response.headers().contains_key("retry-after"));
            break;
        }
        streams.push(response);
        assert!(streams.len() < 1_000);
    }
    Stream::follow(&api, OTHER, None).await.expect([2, 4]).await;
    streams.pop();
    Stream::follow(&api, ORDER, None).await.expect([1, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_shows_that_it_is_alive() {
    let api = with_items(1).await;
    let mut stream = Stream::follow(&api, ORDER, Some(1)).await;
    let block = stream.block().await;
    assert!(block.starts_with(':'), "{block}");
    grow(&api, 1, 2..=3).await;
    stream.expect([3]).await;
}
