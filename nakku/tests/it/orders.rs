//! Orders by the real binary, from placing to their ends, on the embedded feed and over Kafka with its consumer groups.

use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::process::{DataDirectory, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery staple";
/// A product of the first start's catalogue, which is received anew here.
const SKU: &str = "AB-BEE-001";

async fn shop(settings: Settings) {
    let database = testing::database().await;
    let directory = DataDirectory::new();
    let mut server = settings
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
        .with("NAKKU_PAYMENT_TIMEOUT", "10")
        .start("up --port 0");
    let url = server.ready().await;
    let staff = Api::new(&url).logged_in(ADMINISTRATOR, PASSWORD).await;
    let goods = json!({"quantity": 100});
    let path = format!("/inventory/store-1/{SKU}/receive");
    let received = staff
        .post(&path, &[("Idempotency-Key", "goods")], &goods)
        .await
        .expect(200);
    let before = stock(&staff, received.position()).await;
    let mut last = String::new();

    for (token, status, reason) in [
        ("tok_ok", "completed", Value::Null),
        ("tok_declined", "cancelled", json!("payment-declined")),
        ("tok_timeout", "cancelled", json!("payment-timeout")),
        ("tok_flaky", "completed", Value::Null),
    ] {
        let placed = place(&staff, token).await.expect(201);
        assert_eq!(placed.body["status"], status, "{token}: {}", placed.body);
        assert_eq!(placed.body["reason"], reason, "{token}");
        seen_to_its_end(&staff, &placed, status).await;
        last = placed.position().to_owned();
    }
    let after = stock(&staff, &last).await;
    let left = |stock: &Value| stock["available"].as_i64().unwrap();
    assert_eq!(
        left(&before) - left(&after),
        4,
        "two of four were sold, of two pieces each"
    );
    assert_eq!(after["reserved"], 0);
    server.stop(nix::sys::signal::Signal::SIGTERM).await;
}

async fn stock(api: &Api, position: &str) -> Value {
    let path = format!("/inventory/store-1/{SKU}");
    let headers = [("Nakku-Min-Position", position)];
    api.get(&path, &headers).await.expect(200).body
}

async fn place(api: &Api, token: &str) -> Answer {
    let order = json!({
        "store_id": "store-1",
        "items": [{"sku": SKU, "quantity": 2}],
        "payment": {"token": token},
    });
    let headers = [("Idempotency-Key", token), ("Prefer", "wait=20")];
    api.post("/orders", &headers, &order).await
}

/// The queries tell the same end, and every step bears the correlation of the one request.
async fn seen_to_its_end(api: &Api, placed: &Answer, status: &str) {
    let id = placed.body["id"].as_str().unwrap();
    let wait = [
        ("Nakku-Min-Position", placed.position()),
        ("Prefer", "wait=10"),
    ];
    let order = api
        .get(&format!("/orders/{id}"), &wait)
        .await
        .expect(200)
        .body;
    assert_eq!(order["status"], status);
    let timeline = api.get(&format!("/orders/{id}/timeline"), &wait).await;
    let timeline = timeline.expect(200).body;
    let steps: Vec<&str> = timeline["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["type"].as_str().unwrap())
        .collect();
    assert_eq!(steps.first(), Some(&"order.created"));
    assert_eq!(steps.last(), Some(&format!("order.{status}").as_str()));

    let stream = api.get(&format!("/admin/streams/order/{id}"), &[]).await;
    let events = stream.expect(200).body;
    let correlation = &events["items"][0]["correlation_id"];
    assert!(correlation.is_string(), "{events}");
    for kind in ["order", "fulfilment", "reservation"] {
        let stream = api.get(&format!("/admin/streams/{kind}/{id}"), &[]).await;
        let events = stream.expect(200).body;
        for event in events["items"].as_array().unwrap() {
            assert_eq!(&event["correlation_id"], correlation, "{event}");
        }
    }
}

#[tokio::test]
async fn orders_come_to_their_ends_on_the_embedded_feed() {
    shop(Settings::default()).await;
}

#[tokio::test]
async fn orders_come_to_their_ends_over_kafka() {
    let settings = Settings::default()
        .with("KAFKA_BROKERS", testing::kafka_brokers())
        .with("NAKKU_TOPIC_PREFIX", testing::topic_prefix())
        .with("NAKKU_TOPIC_PARTITIONS", "3");
    shop(settings).await;
}
