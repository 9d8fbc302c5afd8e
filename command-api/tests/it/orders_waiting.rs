//! `Prefer: wait`.

use std::time::Duration;

use domain::fulfilment::{self, Plan, Step};
use domain::{Fulfilment, order};
use eventstore::{CommandContext, Stream};
use http_server::Server;
use serde_json::{Value, json};
use testing::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::Answer;
use crate::shop::{Shop, basket};

const WAIT_MAX: Duration = Duration::from_secs(20);

/// An order that is waited for; its id, once it stands.
async fn waited_for(shop: &Shop, key: &str, wait: u32) -> (String, JoinHandle<Answer>) {
    let before = shop.orders().await;
    let call = shop.app.post("/orders").by(&shop.customer).key(key);
    let call = call.header("prefer", &format!("wait={wait}"));
    let answer = tokio::spawn(async move { call.json(&basket(&[("ALE-1", 6)])).await });
    until("the order stands", WAIT_MAX, async || {
        shop.orders().await > before
    })
    .await;
    let events = shop.app.events().await;
    let created = events
        .iter()
        .rev()
        .find(|event| event.event_type == "order.created");
    (created.unwrap().aggregate_id.clone(), answer)
}

fn told(answer: &Answer) -> (u16, &Value, &Value) {
    (
        answer.status.as_u16(),
        &answer.body["status"],
        &answer.body["reason"],
    )
}

#[tokio::test]
async fn whoever_waits_is_told_of_completion() {
    let shop = Shop::open().await;
    let (id, answer) = waited_for(&shop, "k", 30).await;
    let completed = shop.complete(&id).await;
    let answer = answer.await.unwrap();
    assert_eq!(told(&answer), (201, &json!("completed"), &Value::Null));
    assert_eq!(answer.headers["preference-applied"], "wait=30");
    assert_eq!(answer.headers["location"], format!("/api/v1/orders/{id}"));
    // What reads at this position sees it.
    assert_eq!(answer.body["position"], completed.position);
    assert_eq!(
        answer.headers["nakku-position"],
        completed.position.to_string()
    );
    assert_eq!(answer.headers["etag"], "\"5\"");

    // It is evaluated anew, and does not wait for what is past.
    let again = || shop.app.post("/orders").by(&shop.customer).key("k");
    let body = basket(&[("ALE-1", 6)]);
    let waiting = again().header("prefer", "wait=30").json(&body).await.ok();
    assert!(waiting.is_replayed());
    assert_eq!(told(&waiting), (201, &json!("completed"), &Value::Null));
    let at_once = again().json(&body).await.ok();
    assert_eq!(told(&at_once), (201, &json!("pending"), &Value::Null));
}

#[tokio::test]
async fn whoever_waits_is_told_why_it_was_cancelled() {
    let shop = Shop::open().await;
    let (id, answer) = waited_for(&shop, "k", 30).await;
    let reason = order::CancelReason::PaymentDeclined;
    shop.advance(&id, order::Command::MarkReserved).await;
    shop.advance(&id, order::Command::Cancel { reason }).await;
    let answer = answer.await.unwrap();
    assert_eq!(
        told(&answer),
        (201, &json!("cancelled"), &json!("payment-declined"))
    );
}

#[tokio::test]
async fn a_cancellation_is_waited_for_too() {
    let shop = Shop::open().await;
    let id = shop.ordered("1").await;
    let call = shop
        .app
        .post(&format!("/orders/{id}/cancel"))
        .by(&shop.customer);
    let call = call.header("prefer", "wait=30");
    let answer = tokio::spawn(call.empty());
    until("its end is asked for", WAIT_MAX, async || {
        let types = shop.app.event_types().await;
        types
            .last()
            .is_some_and(|kind| kind == "order.cancellation-requested")
    })
    .await;
    let reason = order::CancelReason::Customer;
    let cancelled = shop.advance(&id, order::Command::Cancel { reason }).await;
    let answer = answer.await.unwrap();
    assert_eq!(
        told(&answer),
        (200, &json!("cancelled"), &json!("customer"))
    );
    assert_eq!(answer.body["position"], cancelled.position);
}

/// Has the order's saga halt.
async fn park(shop: &Shop, id: &str) -> i64 {
    let created = shop.created(id).await;
    let mut plan = created.clone();
    for item in plan["items"].as_array_mut().unwrap() {
        *item = json!({"sku": item["sku"], "quantity": item["quantity"]});
    }
    let plan: Plan = serde_json::from_value(plan).unwrap();
    let decide = move |_: &Fulfilment| {
        let error = "no answer came in time".to_owned();
        let step = Step::Reserve;
        let parked = fulfilment::Event::Parked { step, error };
        Ok::<_, String>(vec![fulfilment::Event::Started(plan.clone()), parked])
    };
    let stream = Stream::<Fulfilment>::new(id);
    let executed = shop
        .app
        .store
        .execute(stream, CommandContext::new("test"), decide);
    executed.await.unwrap().position
}

#[tokio::test]
async fn an_order_that_halts_is_told() {
    let shop = Shop::open().await;
    let (id, answer) = waited_for(&shop, "k", 30).await;
    let position = park(&shop, &id).await;
    let answer = answer.await.unwrap();
    assert_eq!(told(&answer), (201, &json!("parked"), &Value::Null));
    assert_eq!(answer.body["position"], position);
    assert_eq!(answer.headers["etag"], "\"1\"");
}

#[tokio::test]
async fn after_its_time_the_answer_is_how_far_it_has_come() {
    let shop = Shop::open().await;
    let (id, answer) = waited_for(&shop, "k", 5).await;
    let reserved = shop.advance(&id, order::Command::MarkReserved).await;
    let answer = answer.await.unwrap();
    assert_eq!(told(&answer), (201, &json!("reserved"), &Value::Null));
    assert_eq!(answer.body["position"], reserved.position);
    assert_eq!(answer.headers["preference-applied"], "wait=5");
    let call = shop.app.post("/orders").by(&shop.customer).key("none");
    let call = call.header("prefer", "wait=0");
    let at_once = call.json(&basket(&[("ALE-1", 6)])).await.ok();
    assert_eq!(told(&at_once), (201, &json!("pending"), &Value::Null));
}

#[tokio::test]
async fn refusals_do_not_wait() {
    let shop = Shop::open().await;
    let call = shop.app.post("/orders").by(&shop.customer).key("k");
    let call = call.header("prefer", "wait=30");
    let answer = call.json(&basket(&[("NONE-1", 6)])).await;
    answer.refused(422, "unknown-items");
    let id = shop.ordered("1").await;
    shop.complete(&id).await;
    let call = shop
        .app
        .post(&format!("/orders/{id}/cancel"))
        .by(&shop.customer);
    let answer = call.header("prefer", "wait=30").empty().await;
    answer.refused(409, "order-ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_wait_at_once() {
    const ORDERS: usize = 200;
    let shop = Shop::open().await;
    let answers: Vec<_> = (0..ORDERS)
        .map(|n| {
            let call = shop
                .app
                .post("/orders")
                .by(&shop.customer)
                .key(&n.to_string());
            let call = call.header("prefer", "wait=30");
            tokio::spawn(async move { call.json(&basket(&[("ALE-1", 1)])).await })
        })
        .collect();
    until("the orders stand", WAIT_MAX, async || {
        shop.orders().await == ORDERS
    })
    .await;
    let events = shop.app.events().await;
    let created = events
        .iter()
        .filter(|event| event.event_type == "order.created");
    let ids: Vec<String> = created.map(|event| event.aggregate_id.clone()).collect();
    let reason = order::CancelReason::OutOfStock;
    for id in &ids {
        shop.advance(id, order::Command::Cancel { reason }).await;
    }
    for answer in answers {
        let answer = answer.await.unwrap();
        assert_eq!(
            told(&answer),
            (201, &json!("cancelled"), &json!("out-of-stock"))
        );
    }
}

/// Somebody who orders over a connection, and has not been answered.
async fn connected(shop: &Shop, address: std::net::SocketAddr) -> TcpStream {
    let body = basket(&[("ALE-1", 1)]).to_string();
    let request = format!(
        "POST /api/v1/orders HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         idempotency-key: k\r\nprefer: wait=30\r\ncontent-length: {}\r\n\r\n{body}",
        shop.customer.token,
        body.len()
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_answered_when_the_server_ends() {
    let shop = Shop::open().await;
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(server.serve(shop.app.router.clone(), shutdown.clone()));
    let mut client = connected(&shop, address).await;
    until("the order stands", WAIT_MAX, async || {
        shop.orders().await == 1
    })
    .await;
    shutdown.cancel();
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer);
    tokio::time::timeout(WAIT_MAX, read).await.unwrap().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 201") && answer.contains(r#""status":"pending""#),
        "{answer}"
    );
    served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_outlives_a_client_that_does_not_wait() {
    let shop = Shop::open().await;
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(server.serve(shop.app.router.clone(), shutdown.clone()));
    let client = connected(&shop, address).await;
    until("the order stands", WAIT_MAX, async || {
        shop.orders().await == 1
    })
    .await;
    drop(client);
    // Others still wait and are told.
    let (id, answer) = waited_for(&shop, "other", 30).await;
    shop.complete(&id).await;
    assert_eq!(answer.await.unwrap().body["status"], "completed");
    shutdown.cancel();
    served.await.unwrap().unwrap();
}
