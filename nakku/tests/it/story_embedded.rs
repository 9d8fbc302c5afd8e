//! A newcomer's first ten minutes, with everything embedded: command, search, replay, and coming back.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, START_MAX, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
/// What a second start may take: nothing is built anew.
const SECOND_START_MAX: Duration = Duration::from_secs(30);

struct Shop {
    directory: DataDirectory,
    settings: Settings,
}

impl Shop {
    fn new() -> Shop {
        let directory = DataDirectory::new();
        let settings = Settings::default().with("NAKKU_DATA_DIR", directory.path());
        Shop {
            directory,
            settings,
        }
    }

    async fn up(&self) -> (Nakku, Api) {
        let mut up = self.settings.start("up --port 0");
        let url = up.ready().await;
        (up, Api::new(&url))
    }

    async fn stop(&self, up: &mut Nakku, signal: Signal) {
        up.stop(signal).await;
        assert_eq!(self.directory.server(), None, "PostgreSQL is stopped too");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_sees_command_search_and_replay_and_finds_it_all_again() {
    let shop = Shop::new();
    let (mut up, visitor) = shop.up().await;
    let password = up
        .said(&format!("administrator {ADMINISTRATOR} password "))
        .await;
    let admin = visitor.logged_in(ADMINISTRATOR, &password).await;

    the_shop_is_open(&visitor).await;
    a_customer_registers(&visitor).await;
    let product = a_product_is_found_once_created(&admin).await;
    it_is_in_stock_once_received(&admin).await;
    operators_see_it(&admin, &product).await;
    a_replay_disturbs_nobody(&shop.settings, &visitor).await;
    verbs_tell_the_same(&shop.settings, &product).await;
    shop.stop(&mut up, SIGINT).await;

    let began = Instant::now();
    let (mut up, visitor) = shop.up().await;
    assert!(began.elapsed() < SECOND_START_MAX, "{:?}", began.elapsed());
    assert!(!up.has_said("administrator"), "there is one");
    oolong_is_found(&visitor).await;

    up.end(SIGKILL).await;
    assert!(shop.directory.server().is_some(), "PostgreSQL is orphaned");
    let (mut up, visitor) = shop.up().await;
    oolong_is_found(&visitor).await;
    visitor.logged_in(ADMINISTRATOR, &password).await;
    shop.stop(&mut up, SIGTERM).await;

    everything_is_rebuilt_when_nothing_runs(&shop).await;
}

/// Seeded before it says that it is ready, documented, healthy.
async fn the_shop_is_open(visitor: &Api) {
    let all = visitor.get("/search?limit=1", &[]).await.expect(200);
    assert_eq!(all.body["total"], 708);
    let stocked = visitor
        .get("/search?limit=1&in_stock_at=store-1", &[])
        .await
        .expect(200);
    let stocked = stocked.body["total"].as_i64().unwrap();
    assert!((600..708).contains(&stocked), "{stocked}");
    let stock = visitor.get("/inventory/store-1", &[]).await.expect(200);
    assert!(!stock.body["items"].as_array().unwrap().is_empty());

    let health = visitor.get_root("/health/ready").await.expect(200);
    assert_eq!(health.body["ready"], true);
    let metrics = visitor.get_root("/metrics").await.expect(200);
    let metrics = metrics.body.as_str().unwrap();
    for name in [
        "http_requests_total",
        "nakku_append_batch_size",
        "nakku_build_info",
        "nakku_command_duration_seconds",
        "nakku_commands_total",
        "nakku_db_connections",
        "nakku_events_appended_total",
        "nakku_projection_lag_events",
        "nakku_projection_lag_seconds",
        "nakku_projection_position",
        "nakku_search_duration_seconds",
    ] {
        assert!(metrics.contains(name), "no {name} in\n{metrics}");
    }
    let document = visitor.get_root("/openapi.json").await.expect(200);
    assert!(
        document.body == crate::openapi::committed(),
        "what is served is not what is committed"
    );
    visitor.get_root("/docs/").await.expect(200);
    visitor.get_root("/.well-known/jwks.json").await.expect(200);
    visitor.get("/nowhere", &[]).await.expect(404);
}

async fn a_customer_registers(visitor: &Api) {
    let body = json!({
        "email": "ada@example.org", "name": "Ada", "password": "correct horse battery",
    });
    let registered = visitor
        .post("/users/register", &[], &body)
        .await
        .expect(201);
    let again = visitor
        .post("/users/register", &[], &body)
        .await
        .expect(409);
    assert_eq!(again.body["code"], "email-taken");

    let ada = visitor
        .logged_in("ada@example.org", "correct horse battery")
        .await;
    let position = registered.position();
    let me = ada
        .get("/users/me", &[("nakku-min-position", position)])
        .await
        .expect(200);
    assert_eq!(me.body["id"], registered.body["id"]);
    assert_eq!(me.body["email"], "ada@example.org");
    ada.post("/products", &[], &oolong()).await.expect(403);
}

fn oolong() -> Value {
    json!({
        "sku": "TEA-OOLONG", "name": "Night Train Oolong", "brand": "Night Train",
        "category": ["Beverages", "Tea"], "price": {"amount_minor": 799, "currency": "EUR"},
    })
}

async fn a_product_is_found_once_created(admin: &Api) -> String {
    let key = [("idempotency-key", "first-oolong")];
    let created = admin.post("/products", &key, &oolong()).await.expect(201);
    let repeated = admin.post("/products", &key, &oolong()).await.expect(201);
    assert_eq!(repeated.body["id"], created.body["id"]);
    assert_eq!(repeated.header("idempotent-replayed"), "true");

    let min_position = [("nakku-min-position", created.position())];
    let found = admin
        .get("/search?q=night+oolo", &min_position)
        .await
        .expect(200);
    assert_eq!(found.skus(), ["TEA-OOLONG"]);
    created.body["id"].as_str().unwrap().to_owned()
}

async fn it_is_in_stock_once_received(admin: &Api) {
    let path = "/search?q=oolong&in_stock_at=store-1";
    let before = admin.get(path, &[]).await.expect(200);
    assert!(before.skus().is_empty());

    let key = [("idempotency-key", "delivery-1")];
    let body = json!({"quantity": 5});
    let received = admin
        .post("/inventory/store-1/TEA-OOLONG/receive", &key, &body)
        .await
        .expect(201);
    let min_position = [("nakku-min-position", received.position())];
    let after = admin.get(path, &min_position).await.expect(200);
    assert_eq!(after.skus(), ["TEA-OOLONG"]);
}

async fn oolong_is_found(visitor: &Api) {
    let found = visitor
        .get("/search?q=oolong&in_stock_at=store-1", &[])
        .await
        .expect(200);
    assert_eq!(found.skus(), ["TEA-OOLONG"]);
}

async fn operators_see_it(admin: &Api, product: &str) {
    let path = format!("/admin/streams/product/{product}");
    let stream = admin.get(&path, &[]).await.expect(200);
    assert!(stream.body.to_string().contains("product.created"));
    let projections = admin.get("/admin/projections", &[]).await.expect(200);
    assert!(projections.body.to_string().contains("products"));
}

/// Queries go on, none fails, and none goes back in position, while the index is rebuilt, switched and switched back.
async fn a_replay_disturbs_nobody(settings: &Settings, visitor: &Api) {
    let over = CancellationToken::new();
    let asking = {
        let (visitor, over) = (visitor.clone(), over.clone());
        tokio::spawn(async move {
            let (mut asked, mut position) = (0, 0);
            while !over.is_cancelled() {
                let answer = visitor.get("/search?q=lager", &[]).await.expect(200);
                assert_eq!(answer.body["total"], 4);
                let now = answer.body["position"].as_i64().unwrap();
                assert!(now >= position, "from {position} back to {now}");
                (asked, position) = (asked + 1, now);
            }
            asked
        })
    };
    let replayed = settings.succeed("replay search --output json").await;
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    assert_eq!(replayed["state"], "switched");
    assert_eq!(replayed["differences"]["count"], 0);
    let back = settings
        .succeed("replay search --rollback --output json")
        .await;
    let back: Value = serde_json::from_str(&back).unwrap();
    assert_eq!(back["state"], "rolled-back");
    over.cancel();
    let asked = asking.await.unwrap();
    assert!(asked > 0);
}

async fn verbs_tell_the_same(settings: &Settings, product: &str) {
    let events = settings
        .succeed(&format!("events --stream product/{product} --output json"))
        .await;
    let event: Value = serde_json::from_str(&events).unwrap();
    assert_eq!(event["type"], "product.created");
    assert_eq!(event["version"], 1);
    assert_eq!(event["payload"]["sku"], "TEA-OOLONG");

    let projections = settings.succeed("projections --output json").await;
    let rows: Vec<Value> = projections
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let live = rows.iter().filter(|row| row["state"] == "live");
    assert_eq!(
        live.count(),
        ::projections::ReadModel::ALL.len(),
        "{projections}"
    );

    assert!(settings.succeed("outbox").await.starts_with("head"));
    settings.succeed("dead-letters").await;
    let verified = settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");
    assert!(settings.succeed("config").await.contains("NAKKU_DATA_DIR"));
}

/// The verbs start the private server for as long as they need it.
async fn everything_is_rebuilt_when_nothing_runs(shop: &Shop) {
    let replayed = shop.settings.succeed("replay --all --output json").await;
    let states: Vec<Value> = replayed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].clone())
        .collect();
    let every = ::projections::ReadModel::ALL.map(|_| "switched");
    assert_eq!(states, every, "{replayed}");
    let compared = shop
        .settings
        .succeed("replay search --compare-only --require-equal --output json")
        .await;
    let compared: Value = serde_json::from_str(&compared).unwrap();
    assert_eq!(compared["state"], "compared");
    assert_eq!(shop.directory.server(), None, "PostgreSQL is stopped again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_killed_is_completed_by_the_next() {
    let database = testing::empty_database().await;
    let mut shop = Shop::new();
    shop.settings = shop.settings.with("DATABASE_URL", &database.url);
    let mut up = shop.settings.start("up --port 0");
    up.said("administrator").await;
    testing::until("the seeding is under way", START_MAX, async || {
        let count = sqlx::query_scalar("select count(*) from events");
        count
            .fetch_one(&database.pool)
            .await
            .is_ok_and(|count: i64| count > 50)
    })
    .await;
    up.end(SIGKILL).await;

    let (mut up, visitor) = shop.up().await;
    assert!(!up.has_said("administrator"), "there is one");
    the_shop_is_open(&visitor).await;
    up.stop(SIGTERM).await;
    let events = shop.settings.succeed("events --type product.created").await;
    assert_eq!(events.lines().count(), 708, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_has_its_own_goods_is_not_seeded() {
    let database = testing::empty_database().await;
    let mut shop = Shop::new();
    shop.settings = shop
        .settings
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_ADMIN_PASSWORD", "correct horse battery");
    let mut up = shop.settings.start("up --port 0 --no-seed");
    let visitor = Api::new(&up.ready().await);
    let admin = visitor
        .logged_in(ADMINISTRATOR, "correct horse battery")
        .await;
    admin.post("/products", &[], &oolong()).await.expect(201);
    up.stop(SIGTERM).await;

    let (mut up, visitor) = shop.up().await;
    let all = visitor.get("/search", &[]).await.expect(200);
    assert_eq!(all.skus(), ["TEA-OOLONG"]);
    up.stop(SIGTERM).await;
}
