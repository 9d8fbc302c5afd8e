//! The shop behind its gateway: every role a process of its own, clients see one address only.

use std::time::Duration;

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use reqwest::Method;
use serde_json::{Value, json};
use testing::{Database, until};

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, Settings};

const ADMINISTRATOR: &str = "boss@example.org";
const PASSWORD: &str = "correct horse battery";
const SERVICE_TOKEN: &str = "what only services know of each other";
/// A breaker closes again at most this long after its instance is back.
const BACK_MAX: Duration = Duration::from_secs(40);

fn service_token() -> String {
    SERVICE_TOKEN.replace(' ', "-")
}

pub struct Installation {
    _database: Database,
    _directory: DataDirectory,
    settings: Settings,
}

impl Installation {
    pub async fn new() -> Installation {
        let database = testing::empty_database().await;
        let directory = DataDirectory::new();
        let settings = Settings::default()
            .with("DATABASE_URL", &database.url)
            .with("NAKKU_DATA_DIR", directory.path())
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
            .with("NAKKU_SERVICE_TOKEN", service_token());
        settings.succeed("migrate").await;
        settings
            .succeed(&format!("create-admin {ADMINISTRATOR}"))
            .await;
        Installation {
            _database: database,
            _directory: directory,
            settings,
        }
    }

    pub async fn start(&self, line: &str) -> (Nakku, String) {
        let mut nakku = self.settings.start(line);
        let url = nakku.ready().await;
        (nakku, url)
    }
}

/// Two of what answers, one of what works in the background, and the door. It knows neither database nor keys.
pub struct Shop {
    pub commands: [(Nakku, String); 2],
    pub queries: [(Nakku, String); 2],
    others: Vec<(Nakku, String)>,
    gateway: Nakku,
    pub api: Api,
    _nothing: DataDirectory,
}

impl Shop {
    pub async fn open(installation: &Installation) -> Shop {
        let role = async |name: &str| {
            let line = format!("{name} --listen 127.0.0.1:0");
            installation.start(&line).await
        };
        let others = vec![
            role("project").await,
            role("react").await,
            role("admin-api").await,
        ];
        let commands = [role("command-api").await, role("command-api").await];
        let queries = [role("query-api").await, role("query-api").await];
        let both = |pair: &[(Nakku, String); 2]| format!("{},{}", pair[0].1, pair[1].1);
        let nothing = DataDirectory::new();
        let mut settings = Settings::default()
            .with("NAKKU_DATA_DIR", nothing.path())
            .with("NAKKU_SERVICE_TOKEN", service_token())
            // All load comes from one address.
            .with("NAKKU_RATE_PER_SECOND", "100000")
            .with("NAKKU_RATE_BURST", "100000")
            .with("QUERY_SERVICE_URL", both(&queries))
            .with("ADMIN_SERVICE_URL", &others[2].1);
        for context in [
            "USER",
            "PRODUCT",
            "INVENTORY",
            "ORDER",
            "PAYMENT",
            "DELIVERY",
        ] {
            settings = settings.with(&format!("{context}_SERVICE_URL"), both(&commands));
        }
        let mut gateway = settings.start("gateway --listen 127.0.0.1:0");
        let api = Api::new(&gateway.ready().await);
        Shop {
            commands,
            queries,
            others,
            gateway,
            api,
            _nothing: nothing,
        }
    }

    pub async fn staff(&self) -> Api {
        self.api.logged_in(ADMINISTRATOR, PASSWORD).await
    }

    /// Each that still runs ends in order.
    pub async fn close(mut self) {
        self.gateway.stop(SIGTERM).await;
        for (role, _) in &mut self.others {
            role.stop(SIGTERM).await;
        }
    }
}

fn beer() -> Value {
    json!({
        "sku": "BEER-1", "name": "Craft Lager", "category": ["Drinks"],
        "price": {"amount_minor": 199, "currency": "EUR"},
    })
}

fn order() -> Value {
    json!({
        "store_id": "store-1", "items": [{"sku": "BEER-1", "quantity": 1}], "payment": {"token": "tok_ok"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_its_gateway_the_shop_outlives_the_end_of_an_instance() {
    let installation = Installation::new().await;
    let mut shop = Shop::open(&installation).await;
    let staff = shop.staff().await;
    let created = staff
        .post("/products", &[("Idempotency-Key", "beer")], &beer())
        .await
        .expect(201);
    let path = "/inventory/store-1/BEER-1/receive";
    let goods = json!({"quantity": 1000});
    let key = [("Idempotency-Key", "goods")];
    let received = staff.post(path, &key, &goods).await.expect(201);
    let seen = [("Nakku-Min-Position", received.position())];
    let hits = shop.api.get("/search?q=lager", &seen).await.expect(200);
    assert_eq!(hits.skus(), ["BEER-1"]);
    place_and_follow(&staff, "first").await;
    one_document_and_one_door(&shop).await;
    a_known_version_is_not_sent_again(&shop, created.body["id"].as_str().unwrap()).await;

    // One of each dies without a word; nobody notices who repeats what may be repeated.
    for (role, _) in [&mut shop.commands[0], &mut shop.queries[0]] {
        role.end(SIGKILL).await;
    }
    for round in 0..20 {
        let key = format!("after-{round}");
        let headers = [("Idempotency-Key", key.as_str())];
        let adjusted = json!({"quantity": 1});
        staff.post(path, &headers, &adjusted).await.expect(200);
        shop.api.get("/search?q=lager", &[]).await.expect(200);
    }
    place_and_follow(&staff, "second").await;

    // All of them: the problem names the service, and no address.
    shop.commands[1].0.end(SIGKILL).await;
    let key = [("Idempotency-Key", "nobody")];
    let refused = staff.post("/orders", &key, &order()).await.expect(503);
    assert_eq!(refused.body["code"], "service-unreachable");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("orders") && !detail.contains("127.0.0.1"));
    refused.header("retry-after");
    shop.api.get("/products", &[]).await.expect(200);

    // One comes back at its address.
    let address = shop.commands[1].1.strip_prefix("http://").unwrap();
    let line = format!("command-api --listen {address}");
    shop.commands[1].0 = installation.start(&line).await.0;
    until("orders are taken again", BACK_MAX, async || {
        let answer = staff.post("/orders", &key, &order()).await;
        answer.status.as_u16() == 201
    })
    .await;
    shop.close().await;
}

async fn place_and_follow(api: &Api, key: &str) {
    let headers = [("Idempotency-Key", key), ("Prefer", "wait=20")];
    let placed = api.post("/orders", &headers, &order()).await.expect(201);
    assert_eq!(placed.body["status"], "completed", "{}", placed.body);
    let id = placed.body["id"].as_str().unwrap();
    let seen = [("Nakku-Min-Position", placed.position())];
    let order = api.get(&format!("/orders/{id}"), &seen).await.expect(200);
    assert_eq!(order.body["status"], "completed");
    assert_eq!(order.header("cache-control"), "private, no-cache");
}

async fn one_document_and_one_door(shop: &Shop) {
    let document = shop.api.get_root("/openapi.json").await.expect(200);
    let paths = document.body["paths"].as_object().unwrap();
    assert!(paths.contains_key("/api/v1/admin/sagas"));
    assert!(!paths.keys().any(|path| path.starts_with("/internal")));
    let internal = shop.api.get_root("/internal/products?sku=BEER-1").await;
    assert_eq!(internal.expect(404).body["code"], "not-found");
    let root = shop.api.get_root("/").await.expect(200);
    assert_eq!(root.body["documentation"], "/docs");
    let html = [("Accept", "text/html,*/*;q=0.8")];
    let page = shop.api.send(Method::GET, "/", &html, None).await;
    let page = page.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    // What only services may say counts for nothing from a client.
    let token = service_token();
    let claims = [("Nakku-Service-Token", token.as_str()), ("Nakku-Hops", "3")];
    shop.api.get("/users/me", &claims).await.expect(401);
}

async fn a_known_version_is_not_sent_again(shop: &Shop, product: &str) {
    let path = format!("/products/{product}");
    let first = shop.api.get(&path, &[]).await.expect(200);
    let known = [("If-None-Match", first.header("etag"))];
    shop.api.get(&path, &known).await.expect(304);
    let head = format!("/api/v1{path}");
    let head = shop.api.send(Method::HEAD, &head, &[], None).await;
    assert_eq!(head.expect(200).header("etag"), first.header("etag"));
    let zipped = [("Accept-Encoding", "br")];
    let list = shop.api.get("/categories", &zipped).await.expect(200);
    let is_small = list.headers.get("content-encoding").is_none();
    assert!(is_small, "below a kibibyte nothing is compressed");
}

#[tokio::test]
async fn a_gateway_without_the_token_of_services_does_not_start() {
    let output = Settings::default().run("gateway").await;
    assert_eq!(output.status.code(), Some(2));
    let said = crate::process::text(&output.stderr);
    assert!(said.contains("service_token"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}
