//! `nakku demo` against the real server: what its table tells is what the API tells of the same orders.

use std::collections::BTreeMap;

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use testing::Database;

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery staple";
/// Some of their payments are declined.
const ORDERS: u64 = 120;

/// A shop with the first start's catalogue, and a terminal on the same machine that knows nobody's password.
struct Shop {
    database: Database,
    directory: DataDirectory,
    terminal: Settings,
    server: Nakku,
    url: String,
}

impl Shop {
    async fn new() -> Shop {
        let database = testing::database().await;
        let directory = DataDirectory::new();
        let terminal = Settings::default()
            .with("DATABASE_URL", &database.url)
            .with("NAKKU_DATA_DIR", directory.path());
        let mut server = terminal
            .clone()
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
            .start("up --port 0");
        let url = server.ready().await;
        Shop {
            database,
            directory,
            terminal: terminal.with("NAKKU_URL", &url),
            server,
            url,
        }
    }

    async fn administrator(&self) -> Api {
        Api::new(&self.url).logged_in(ADMINISTRATOR, PASSWORD).await
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    async fn count(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    async fn customers(&self) -> i64 {
        self.count("select count(*) from events where event_type = 'user.registered'")
            .await
    }
}

/// All orders of the shop as the API lists them.
async fn orders(api: &Api) -> Vec<Value> {
    let mut orders = Vec::new();
    let mut path = "/orders?limit=200".to_owned();
    loop {
        let page = api.get(&path, &[]).await.expect(200).body;
        orders.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else {
            return orders;
        };
        path = format!("/orders?limit=200&cursor={cursor}");
    }
}

/// Counted by status, and by reason where they were cancelled.
fn counted(orders: &[Value]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for order in orders {
        let status = order["status"].as_str().unwrap();
        let what = order["reason"].as_str().unwrap_or(status);
        *counts.entry(what.to_owned()).or_default() += 1;
    }
    counts
}

/// The same of what a demo has printed last.
fn told(printed: &str) -> (BTreeMap<String, u64>, Value) {
    let table: Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let mut counts: BTreeMap<String, u64> =
        serde_json::from_value(table["cancelled"].clone()).unwrap();
    counts.insert("completed".to_owned(), table["completed"].as_u64().unwrap());
    (counts, table)
}

fn milliseconds(order: &Value) -> f64 {
    let at = |member: &str| -> chrono::DateTime<chrono::Utc> {
        order[member].as_str().unwrap().parse().unwrap()
    };
    let took = (at("ended_at") - at("placed_at")).num_microseconds();
    f64::from(i32::try_from(took.unwrap()).unwrap()) / 1_000.0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_a_demo_tells_what_the_api_tells() {
    let mut shop = Shop::new().await;
    let demo = format!("demo --orders {ORDERS} --output json");
    let (counts, table) = told(&shop.terminal.succeed(&demo).await);

    let api = shop.administrator().await;
    let placed = orders(&api).await;
    assert_eq!(placed.len() as u64, ORDERS);
    assert_eq!(counts, counted(&placed));
    assert!(counts["payment-declined"] > 0, "{table}");
    assert_eq!(counts["completed"] + counts["payment-declined"], ORDERS);
    assert_eq!(
        (&table["placed"], &table["parked"], &table["unfinished"]),
        (&json!(ORDERS), &json!(0), &json!(0))
    );
    let completed = placed.iter().filter(|order| order["status"] == "completed");
    let longest = completed.map(milliseconds).fold(0.0, f64::max);
    assert_eq!(table["latency_ms"]["max"], json!(longest));

    // The same households come back, and everything is there once more.
    let customers = shop.customers().await;
    let printed = shop.terminal.succeed("demo --orders 30 --all-ok").await;
    assert_eq!(shop.customers().await, customers);
    let row = |name: &str| -> u64 {
        let line = printed.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    assert_eq!((row("placed"), row("completed")), (30, 30), "{printed}");
    assert_eq!(orders(&api).await.len() as u64, ORDERS + 30);
    shop.server.stop(SIGTERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_says_what_it_lacks_and_goes_on_where_it_can() {
    let shop = Shop::new().await;
    let good = r#"{"basket":"1","store":"store-1","household":"7","items":[{"sku":"AB-BEE-001","quantity":1}]}"#;
    let nobodys = good.replace("AB-BEE-001", "nobodys");
    let file = shop.file("baskets", &format!("{good}\nnonsense\n{nobodys}\n"));

    // Bad lines and orders that are refused are told, and the rest is done.
    let output = shop.terminal.run(&format!("demo --file {file}")).await;
    let (printed, complaints) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{complaints}");
    assert!(printed.starts_with("line 2: "), "{printed}");
    for row in ["placed", "completed", "refused, "] {
        let found = printed.lines().find(|line| line.starts_with(row)).unwrap();
        assert!(found.ends_with(" 1"), "{printed}");
    }
    assert!(complaints.contains("as nobodys"), "{complaints}");

    // Whoever is not staff of that very system fills no shelves.
    let elsewhere = DataDirectory::new();
    let stranger = shop
        .terminal
        .clone()
        .with("NAKKU_DATA_DIR", elsewhere.path());
    let refused = async |settings: &Settings, expected: &str| {
        let output = settings.run("demo --orders 1").await;
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
        let line = complaint.lines().last().unwrap();
        assert!(line.starts_with("nakku: "), "{complaint}");
    };
    refused(&stranger, "there is no keys file").await;
    let keys = elsewhere.path().join("other.json");
    nakku::keys_file::KeysFile::load_or_create(&keys).unwrap();
    let forger = stranger.clone().with("NAKKU_KEYS_FILE", &keys);
    refused(&forger, "is not that of http://").await;
    let mistaken = stranger.clone().with("NAKKU_ADMIN_PASSWORD", "wrong horse");
    refused(&mistaken, "cannot log in at http://").await;
    let nowhere = stranger.clone().with("NAKKU_URL", "http://127.0.0.1:1");
    refused(&nowhere, "cannot reach http://127.0.0.1:1").await;

    // An account of staff is enough, from anywhere.
    let staff = stranger.with("NAKKU_ADMIN_PASSWORD", PASSWORD);
    staff.succeed("demo --orders 2 --all-ok").await;
}
