//! `/products/import`.

use std::collections::BTreeMap;
use std::io::Write;

use axum::body::{Body, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use http_server::Role;
use serde_json::{Value, json};

use crate::app::{Answer, Call, Person, TestApp};

const IMPORT: &str = "/products/import";

fn product(sku: &str, name: &str, amount_minor: i64) -> Value {
    json!({"sku": sku, "name": name, "price": {"amount_minor": amount_minor, "currency": "EUR"}})
}

fn lines(products: &[Value]) -> String {
    products
        .iter()
        .map(|product| format!("{product}\n"))
        .collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers
        .map(|number| product(&format!("SKU-{number}"), &format!("Product {number}"), 100))
        .collect()
}

struct Shop {
    app: TestApp,
    staff: Person,
}

impl Shop {
    async fn new() -> Shop {
        let app = TestApp::start().await;
        let staff = app.person(Role::Staff);
        Shop { app, staff }
    }

    fn call(&self) -> Call {
        self.app.post(IMPORT).by(&self.staff)
    }

    async fn import(&self, body: impl Into<Body>) -> Answer {
        self.call().ndjson(body).await.ok()
    }

    /// What is in the log: the payloads by SKU, in order.
    async fn history(&self) -> BTreeMap<String, Vec<Value>> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "select c.aggregate_id, e.payload::text from events e
               join events c on c.aggregate_type = 'sku' and c.payload->>'product_id' = e.aggregate_id
              where e.aggregate_type = 'product' order by e.position",
        )
        .fetch_all(&self.app.database.pool)
        .await
        .unwrap();
        let mut history: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (sku, payload) in rows {
            let payload = serde_json::from_str(&payload).unwrap();
            history.entry(sku).or_default().push(payload);
        }
        history
    }

    async fn types(&self, sku: &str) -> Vec<String> {
        self.history().await[sku]
            .iter()
            .map(|payload| payload["type"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// Created, updated, unchanged, rejected.
#[track_caller]
fn counts(answer: &Answer) -> [u64; 4] {
    let count = |name: &str| answer.body[name].as_u64().unwrap();
    let counts = ["created", "updated", "unchanged", "rejected_total"].map(count);
    assert_eq!(count("accepted"), counts[..3].iter().sum::<u64>());
    counts
}

#[tokio::test]
async fn what_differs_is_changed_and_nothing_else_is_appended() {
    let shop = Shop::new().await;
    let first = shop.import(lines(&numbered(0..1_500))).await;
    assert_eq!(counts(&first), [1_500, 0, 0, 0]);
    assert_eq!(first.body["rejected"], json!([]));
    assert_eq!(first.body["position"], 3_000);
    assert_eq!(first.headers["nakku-position"], "3000");

    let again = shop.import(lines(&numbered(0..1_500))).await;
    assert_eq!(counts(&again), [0, 0, 1_500, 0]);
    assert_eq!(again.body["position"], 3_000);

    let changed = [
        product("SKU-0", "Product 0", 99),
        product("SKU-1", "Renamed", 100),
        product("SKU-2", "Renamed too", 101),
        product("SKU-3", "Product 3", 100),
        product("SKU-new", "New", 1),
    ];
    let answer = shop.import(lines(&changed)).await;
    assert_eq!(counts(&answer), [1, 3, 1, 0]);
    let created = "product.created";
    assert_eq!(
        shop.types("SKU-0").await,
        [created, "product.price-changed"]
    );
    assert_eq!(shop.types("SKU-1").await, [created, "product.updated"]);
    assert_eq!(
        shop.types("SKU-2").await,
        [created, "product.updated", "product.price-changed"]
    );
    assert_eq!(shop.types("SKU-3").await, [created]);
    assert_eq!(shop.history().await.len(), 1_501);
}

#[tokio::test]
async fn the_last_line_of_a_sku_counts() {
    let shop = Shop::new().await;
    // Far more lines a product than are in flight, and all of them in one stream of commands.
    let prices: Vec<Value> = (0..700)
        .map(|number| {
            product(
                &format!("SKU-{}", number % 3),
                "Ale",
                i64::from(1_000 - number),
            )
        })
        .collect();
    let answer = shop.import(lines(&prices)).await;
    assert_eq!(counts(&answer), [3, 697, 0, 0]);
    for (number, (_, history)) in shop.history().await.into_iter().enumerate() {
        let amounts: Vec<i64> = history
            .iter()
            .map(|payload| payload["price"]["amount_minor"].as_i64().unwrap())
            .collect();
        assert!(amounts.is_sorted_by(|a, b| a > b), "SKU-{number}");
        let last = prices
            .iter()
            .rfind(|line| line["sku"] == format!("SKU-{number}"));
        assert_eq!(
            amounts.last().copied(),
            last.unwrap()["price"]["amount_minor"].as_i64()
        );
    }
}

#[tokio::test]
async fn bad_lines_are_named_and_the_rest_goes_in() {
    let shop = Shop::new().await;
    let mut gone = product("GONE", "Gone", 1);
    let created = shop
        .app
        .post("/products")
        .by(&shop.staff)
        .json(&gone)
        .await
        .ok();
    let discontinue = format!("/products/{}/discontinue", created.id());
    shop.app
        .post(&discontinue)
        .by(&shop.staff)
        .empty()
        .await
        .ok();
    gone["name"] = json!("Back again");

    let mut body = b"\xef\xbb\xbf".to_vec();
    body.extend(
        lines(&[product("A", "First", 1)])
            .replace('\n', "\r\n")
            .into_bytes(),
    );
    body.extend(b"\n{\"sku\":\"B\",\n{\"sku\":\"\xff\"}\n");
    body.extend(lines(&[product("a:b", "", -1), gone]).into_bytes());
    body.extend(format!("{{\"sku\":\"{}\"}}\n", "x".repeat(300 * 1024)).into_bytes());
    body.extend(
        br#"{"sku":"Z","name":"Last","price":{"amount_minor":1,"currency":"EUR"},"maker":7}"#,
    );
    let answer = shop.import(body).await;
    assert_eq!(counts(&answer), [2, 0, 0, 5]);
    let rejected = answer.body["rejected"].as_array().unwrap();
    let lines: Vec<_> = rejected
        .iter()
        .map(|it| it["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    let details = [
        "not JSON: ",
        "not UTF-8",
        "/name: ",
        "/sku: product is discontinued",
        "longer than",
    ];
    for (rejected, detail) in rejected.iter().zip(details) {
        let said = rejected["detail"].as_str().unwrap();
        assert!(said.starts_with(detail), "{said}");
    }
    let pointers: Vec<_> = rejected[2]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["pointer"])
        .collect();
    assert_eq!(pointers, ["/name", "/price", "/sku"]);
    let history = shop.history().await;
    assert_eq!(history["Z"][0]["attributes"], json!({"maker": "7"}));
    assert_eq!(history["GONE"].len(), 2);
}

#[tokio::test]
async fn an_answer_tells_of_a_thousand_bad_lines_and_counts_the_rest() {
    let shop = Shop::new().await;
    let answer = shop.import("bad\n".repeat(5_000)).await;
    assert_eq!(counts(&answer), [0, 0, 0, 5_000]);
    let rejected = answer.body["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 1_000);
    assert_eq!(
        (&rejected[0]["line"], &rejected[999]["line"]),
        (&json!(1), &json!(1_000))
    );
    assert_eq!(answer.body["position"], Value::Null);
    assert!(!answer.headers.contains_key("nakku-position"));
}

#[tokio::test]
async fn a_catalogue_may_be_compressed() {
    let shop = Shop::new().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(lines(&numbered(0..2_000)).as_bytes())
        .unwrap();
    let gzip = gzip.finish().unwrap();
    let cut_off = gzip[..gzip.len() / 2].to_vec();
    let answer = shop
        .call()
        .ndjson(cut_off)
        .await
        .refused(400, "bad-request");
    assert!(
        answer.text("detail").contains("ends early"),
        "{}",
        answer.body
    );
    let before = shop.history().await.len() as u64;
    assert!((1..2_000).contains(&before), "{before}");
    let answer = shop.import(gzip).await;
    assert_eq!(counts(&answer), [2_000 - before, 0, before, 0]);
}

#[tokio::test]
async fn what_was_accepted_before_the_body_broke_off_stays_and_repeating_goes_on() {
    let shop = Shop::new().await;
    let all = lines(&numbered(0..900));
    let (first, _) = all.split_at(all.len() / 2);
    let broken = stream::iter([Ok(Bytes::from(first.to_owned()))])
        .chain(stream::iter([Err(std::io::Error::other("reset"))]));
    let answer = shop.call().ndjson(Body::from_stream(broken)).await;
    answer.refused(400, "bad-request");
    let before = shop.history().await;
    assert_eq!(
        before.len(),
        first.lines().count() - 1,
        "all whole lines, and no part of one"
    );

    let answer = shop.import(all).await;
    assert_eq!(
        counts(&answer),
        [900 - before.len() as u64, 0, before.len() as u64, 0]
    );
    let after = shop.history().await;
    assert_eq!(after.len(), 900);
    assert!(after.values().all(|history| history.len() == 1));
    assert_eq!(shop.app.count("events").await, 1_800);
}

#[tokio::test]
async fn only_staff_imports_and_only_catalogues() {
    let shop = Shop::new().await;
    let line = lines(&[product("A", "Ale", 1)]);
    let answer = shop.app.post(IMPORT).ndjson(line.clone()).await;
    answer.refused(401, "unauthenticated");
    let customer = shop.app.person(Role::Customer);
    let answer = shop
        .app
        .post(IMPORT)
        .by(&customer)
        .ndjson(line.clone())
        .await;
    answer.refused(403, "forbidden");
    let answer = shop.call().json(&product("A", "Ale", 1)).await;
    let answer = answer.refused(415, "unsupported-media-type");
    assert!(answer.text("detail").contains("application/x-ndjson"));
    shop.call()
        .empty()
        .await
        .refused(415, "unsupported-media-type");
    assert_eq!(shop.app.count("events").await, 0);

    // A key makes nothing of it: a second catalogue under the same one goes in as well.
    let key = || shop.call().key("catalogue").header("if-match", "\"7\"");
    assert_eq!(counts(&key().ndjson(line).await.ok()), [1, 0, 0, 0]);
    let other = lines(&[product("B", "Beer", 1)]);
    assert_eq!(counts(&key().ndjson(other).await.ok()), [1, 0, 0, 0]);
    assert_eq!(counts(&shop.import("").await), [0, 0, 0, 0]);
    let events = shop.app.events().await;
    assert!(
        events
            .iter()
            .all(|event| event.metadata().user_id.as_deref() == Some(&shop.staff.id))
    );
}

#[tokio::test]
async fn two_imports_of_one_catalogue_at_once_make_every_product_once() {
    let shop = Shop::new().await;
    let all = lines(&numbered(0..1_000));
    let other = shop.app.beside().await;
    let beside = crate::app::call(
        &other,
        axum::http::Method::POST,
        &format!("/api/v1{IMPORT}"),
    );
    let (one, two) = tokio::join!(shop.import(all.clone()), beside.by(&shop.staff).ndjson(all));
    let (one, two) = (counts(&one), counts(&two.ok()));
    assert_eq!(one[0] + two[0], 1_000);
    assert_eq!((one[2] + two[2], one[1] + two[1]), (1_000, 0));
    assert_eq!(shop.app.count("events").await, 2_000);
}
