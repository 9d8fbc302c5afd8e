//! Orders as their customers and the operators see them: the timeline as it grows, and sagas that halt.

use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use sqlx::PgPool;
use testing::until;

use crate::api::Api;
use crate::process::{DataDirectory, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";
/// Until something is to be seen that takes milliseconds.
const SEEN_MAX: Duration = Duration::from_secs(30);

const ORDER: &str = "0198c0de-0000-7000-8000-000000000001";
const PERSON: &str = "0198c0de-0000-7000-8000-00000000000a";

/// An event past every rule; of another program, as it were.
async fn plant(pool: &PgPool, stream_type: &str, version: i64, payload: &Value) {
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select coalesce(max(position), 0) + 1, gen_random_uuid(), $1, $2, $3, $4, '1.0', $5::json,
                '{}', clock_timestamp()
           from events",
    )
    .bind(stream_type)
    .bind(ORDER)
    .bind(version)
    .bind(payload["type"].as_str().unwrap())
    .bind(payload.to_string())
    .execute(pool)
    .await
    .unwrap();
}

/// A saga that has asked for a reservation and halts.
async fn plant_parked(pool: &PgPool) {
    let items = json!([{"sku": "ALE", "quantity": 2}]);
    let sealed = json!({"subject": PERSON, "ciphertext": "AQ=="});
    let started = json!({
        "type": "fulfilment.started", "customer_id": PERSON, "store_id": "store-1",
        "items": items, "total": {"amount_minor": 300, "currency": "EUR"},
        "payment_id": PERSON, "delivery_id": PERSON, "payment_token": sealed,
    });
    let asked = json!({
        "type": "fulfilment.reservation-requested", "store_id": "store-1", "items": items,
        "attempt": 1,
    });
    let parked = json!({
        "type": "fulfilment.parked", "step": "reserve", "error": "no answer came in time",
    });
    for (version, payload) in (1..).zip([started, asked, parked]) {
        plant(pool, "fulfilment", version, &payload).await;
    }
}

fn values(printed: &str) -> Vec<Value> {
    let lines = printed.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_halts_is_shown_counted_and_let_go_on() {
    let database = testing::database().await;
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path());
    settings.succeed("create-admin admin@example.org").await;

    // Nobody keeps the read model: the verb brings it up to date.
    let none = settings.succeed("sagas").await;
    assert!(none.contains("0 running, 0 parked"), "{none}");
    plant_parked(&database.pool).await;
    let id = format!("fulfilment-{ORDER}");
    let table = settings.succeed("sagas").await;
    for told in [
        &id,
        "parked",
        "reserve",
        "no answer came in time",
        "0 running, 1 parked, 0 completed, 0 cancelled",
    ] {
        assert!(table.contains(told), "{told} in {table}");
    }
    let listed = values(
        &settings
            .succeed("sagas --status parked --output json")
            .await,
    );
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!(id)));
    assert_eq!(listed[0]["order_id"], ORDER);
    assert_eq!(listed[0]["timer_at"], Value::Null);
    let running = settings
        .succeed("sagas --status running --output json")
        .await;
    assert_eq!(running, "");
    let shown = settings
        .succeed(&format!("sagas show {id} --output json"))
        .await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["events"].as_array().unwrap().len(), 3);
    let shown = settings.succeed(&format!("sagas show {id}")).await;
    assert!(shown.contains("fulfilment.parked"), "{shown}");

    // The process that keeps it counts them.
    let mut project = settings.start("project sagas --listen 127.0.0.1:0");
    let url = project.ready().await;
    let metrics = Api::new(&url);
    let counted = async |line: &str| {
        let said = metrics.get_root("/metrics").await.expect(200);
        said.body.as_str().unwrap().contains(line)
    };
    until("the sagas are counted", SEEN_MAX, async || {
        counted(r#"nakku_sagas{state="parked"} 1"#).await
    })
    .await;
    assert!(counted(r#"nakku_sagas{state="running"} 0"#).await);

    let retried = settings.succeed(&format!("sagas retry {id}")).await;
    assert!(retried.contains("goes on"), "{retried}");
    let running = values(
        &settings
            .succeed("sagas --status running --output json")
            .await,
    );
    assert_eq!(
        (&running[0]["id"], &running[0]["attempts"]),
        (&json!(id), &json!(2))
    );
    assert!(running[0]["timer_at"].is_string(), "{}", running[0]);
    until("the sagas are counted again", SEEN_MAX, async || {
        counted(r#"nakku_sagas{state="running"} 1"#).await
    })
    .await;
    project.stop(SIGTERM).await;

    for (line, code, why) in [
        (format!("sagas retry {id}"), 1, "the saga is not parked"),
        (format!("sagas retry return-{ORDER}"), 1, "there is no saga"),
        (format!("sagas show return-{ORDER}"), 1, "there is no saga"),
        (
            format!("sagas --status parked retry {id}"),
            1,
            "--status is for the list",
        ),
        (format!("sagas retry {ORDER}"), 2, "fulfilment-<order id>"),
        (
            "sagas --status halted".to_owned(),
            2,
            "running, parked, completed or cancelled",
        ),
    ] {
        let refused = settings.run(&line).await;
        assert_eq!(refused.status.code(), Some(code), "{line}");
        let said = text(&refused.stderr);
        assert!(said.contains(why), "{line}: {said}");
    }
}

/// The stream of an order, as a browser would read it.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn follow(customer: &Api, order: &str, headers: &[(&str, String)]) -> Events {
        let path = format!("{}/api/v1/orders/{order}/events", customer.url());
        let mut request = reqwest::Client::new().get(path);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.bearer_auth(customer.token().unwrap());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Events {
            response,
            text: String::new(),
        }
    }

    /// The item of the next message, whose id is its position.
    async fn next(&mut self) -> Value {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let data = message.lines().find_map(|line| line.strip_prefix("data: "));
                let item = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
                let id = message.lines().find_map(|line| line.strip_prefix("id: "));
                let id = id.map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(item) = item {
                    assert_eq!(id, Some(item["position"].to_string()));
                    return item;
                }
                continue;
            }
            let chunk = tokio::time::timeout(SEEN_MAX, self.response.chunk()).await;
            let chunk = chunk.expect("something in time").unwrap().expect("no end");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn buys(customer: &Api, token: &str, key: &str) -> (String, String) {
    let products = customer
        .get("/search?in_stock_at=store-1&limit=1", &[])
        .await;
    let sku = products.expect(200).skus()[0].to_owned();
    let body = json!({
        "store_id": "store-1", "items": [{"sku": sku, "quantity": 1}], "payment": {"token": token},
    });
    let placed = customer
        .post("/orders", &[("idempotency-key", key)], &body)
        .await;
    let placed = placed.expect(201);
    let position = placed.position().to_owned();
    (placed.body["id"].as_str().unwrap().to_owned(), position)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_followed_from_its_placing_to_its_end() {
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
    let mut up = settings.start("up --port 0");
    let url = up.ready().await;
    let visitor = Api::new(&url);
    let body = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD});
    visitor
        .post("/users/register", &[], &body)
        .await
        .expect(201);
    let ada = visitor.logged_in("ada@example.org", PASSWORD).await;
    let admin = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;

    let (order, position) = buys(&ada, "tok_ok", "first").await;
    let mut events = Events::follow(&ada, &order, &[("nakku-min-position", position)]).await;
    let mut items: Vec<Value> = Vec::new();
    while items
        .last()
        .is_none_or(|item| item["type"] != "order.completed")
    {
        items.push(events.next().await);
    }
    drop(events);
    let first = &items[0];
    assert_eq!(first["type"], "order.created");
    let me = ada.get("/users/me", &[]).await.expect(200);
    assert_eq!(first["actor"], me.body["id"], "{first}");
    let head = items.last().unwrap()["position"].to_string();
    let path = format!("/orders/{order}/timeline");
    let timeline = ada.get(&path, &[("nakku-min-position", &head)]).await;
    let timeline = timeline.expect(200);
    assert_eq!(timeline.body["items"].as_array(), Some(&items));

    // Cut after each item: the next one follows.
    for pair in items.windows(2) {
        let last = [("last-event-id", pair[0]["position"].to_string())];
        let mut resumed = Events::follow(&ada, &order, &last).await;
        assert_eq!(resumed.next().await, pair[1]);
    }

    // One whose payment is declined says so.
    let (order, position) = buys(&ada, "tok_declined", "second").await;
    let mut events = Events::follow(&ada, &order, &[("nakku-min-position", position)]).await;
    let declined = loop {
        let item = events.next().await;
        if item["type"] == "order.cancelled" {
            break item;
        }
    };
    assert_eq!(declined["reason"], "payment-declined");
    assert_eq!(declined["actor"], "fulfilment");

    let seen = declined["position"].to_string();
    let sagas = admin
        .get("/admin/sagas", &[("nakku-min-position", &seen)])
        .await;
    let sagas = sagas.expect(200);
    let listed = sagas.body["items"].as_array().unwrap();
    assert_eq!(listed[0]["id"], format!("fulfilment-{order}"));
    assert_eq!(
        (&listed[0]["state"], &listed[1]["state"]),
        (&json!("cancelled"), &json!("completed"))
    );
    assert_eq!(listed[0]["reason"], "payment-declined");
    let path = format!("/admin/sagas/fulfilment-{order}");
    let shown = admin.get(&path, &[]).await.expect(200);
    let events = shown.body["events"].as_array().unwrap();
    assert_eq!(events.last().unwrap()["type"], "fulfilment.cancelled");
    let not_parked = admin
        .post(&format!("{path}/retry"), &[], &Value::Null)
        .await;
    assert_eq!(not_parked.expect(409).body["code"], "saga-not-parked");
    let told = settings.succeed("sagas").await;
    assert!(told.contains("1 completed, 1 cancelled"), "{told}");
    up.stop(SIGTERM).await;
}
