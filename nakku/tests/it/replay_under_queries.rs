//! Readers go on while read models are replayed, switched and switched back: nothing fails, nothing is empty, nothing goes
//! back, and whoever wrote sees what they wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::Signal::SIGTERM;
use projections::ReadModel;
use serde_json::{Value, json};
use testing::Database;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::api::{Answer, Api};
use crate::process::{DataDirectory, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";

/// Of the demo catalogue.
const PRODUCTS: i64 = 708;

/// More than the demo catalogue, so that a replay takes a while: read before each is switched.
const PLANTED: i64 = 15_000;

/// Rounds of replay and rollback.
const ROUNDS: usize = 2;

/// What is asked all the time.
#[derive(Clone)]
struct Asking {
    api: Api,
    over: CancellationToken,
    asked: Arc<AtomicUsize>,
}

impl Asking {
    /// Asks one query again and again; `rows` tells how many rows an answer has.
    async fn again_and_again(self, path: String, rows: fn(&Answer) -> i64, rows_min: i64) {
        let mut position = 0;
        // Half of them say how far the answer has to be, the others have to be so by themselves.
        for round in 0_u64.. {
            if self.over.is_cancelled() {
                return;
            }
            let answer = self
                .ask(&path, round.is_multiple_of(2).then_some(position))
                .await;
            assert!(rows(&answer) >= rows_min, "{path}: {} rows", rows(&answer));
            let now: i64 = answer.position().parse().unwrap();
            assert!(now >= position, "{path}: from {position} back to {now}");
            position = now;
        }
    }

    /// Changes a price and reads it back by the command's position, from the row and from the index.
    async fn write_and_read(self, id: String, sku: String) {
        for cents in 1.. {
            if self.over.is_cancelled() {
                return;
            }
            let path = format!("/products/{id}/change-price");
            let body = json!({"price": {"amount_minor": cents, "currency": "EUR"}});
            let changed = self.api.post(&path, &[], &body).await;
            assert!(changed.status.is_success(), "{:#}", changed.body);
            let position = Some(changed.position().parse().unwrap());
            let row = self.ask(&format!("/products/{id}"), position).await;
            assert_eq!(row.body["price"]["amount_minor"], cents);
            let found = self
                .ask(&format!("/search?q={sku}&limit=1"), position)
                .await;
            assert_eq!(found.body["hits"][0]["price"]["amount_minor"], cents);
        }
    }

    /// An answer that is no failure; where a position is asked for, not from before that, and waited for no longer than an
    /// owner of the read model may take to be replaced.
    async fn ask(&self, path: &str, min_position: Option<i64>) -> Answer {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let token = min_position.unwrap_or(0).to_string();
        let headers = [("nakku-min-position", token.as_str()), ("prefer", "wait=5")];
        let headers = min_position.map_or(&headers[..0], |_| &headers);
        let answer = self.api.get(path, headers).await;
        assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_fails_is_empty_or_goes_back_while_everything_is_replayed() {
    let database = testing::empty_database().await;
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
    let mut up = settings.start("up --port 0");
    let visitor = Api::new(&up.ready().await);
    let admin = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;
    let (id, sku) = oolong(&admin).await;
    let planted = plant(&database).await;
    caught_up(&visitor, planted).await;

    let asking = Asking {
        api: admin.clone(),
        over: CancellationToken::new(),
        asked: Arc::default(),
    };
    let mut readers = JoinSet::new();
    let rows = |answer: &Answer| {
        answer.body["items"]
            .as_array()
            .map_or(0, |it| it.len() as i64)
    };
    let total = |answer: &Answer| answer.body["total"].as_i64().unwrap_or(0);
    let one = |answer: &Answer| i64::from(answer.body["id"].is_string());
    let again = |path: String, count: fn(&Answer) -> i64, rows_min| {
        asking.clone().again_and_again(path, count, rows_min)
    };
    readers.spawn(again("/products?limit=200".to_owned(), rows, 200));
    readers.spawn(again(format!("/products/{id}"), one, 1));
    readers.spawn(again(
        "/search?limit=5".to_owned(),
        total,
        PRODUCTS + PLANTED,
    ));
    readers.spawn(again("/inventory/store-1".to_owned(), rows, 50));
    readers.spawn(asking.clone().write_and_read(id, sku));

    for _ in 0..ROUNDS {
        states(&settings, "replay --all", "switched").await;
        states(&settings, "replay --all --rollback", "rolled-back").await;
    }
    states(&settings, "replay --all", "switched").await;
    asking.over.cancel();
    while let Some(ended) = readers.join_next().await {
        ended.unwrap();
    }
    let asked = asking.asked.load(Ordering::Relaxed);
    println!(
        "{asked} queries during {} replays and {ROUNDS} rollbacks of all read models",
        ROUNDS + 1
    );
    assert!(asked > 100, "{asked}");
    let verified = settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");
    up.stop(SIGTERM).await;
}

async fn oolong(admin: &Api) -> (String, String) {
    let body = json!({
        "sku": "TEAOOLONG", "name": "Night Train Oolong",
        "price": {"amount_minor": 799, "currency": "EUR"},
    });
    let created = admin.post("/products", &[], &body).await.expect(201);
    let id = created.body["id"].as_str().unwrap().to_owned();
    (id, "TEAOOLONG".to_owned())
}

/// Many products, past every rule; the last position.
async fn plant(database: &Database) -> i64 {
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select head.position + n, gen_random_uuid(), 'product', gen_random_uuid()::text, 1,
                'product.created', '1.0',
                json_build_object('type', 'product.created', 'sku', 'planted-' || head.position + n,
                  'name', 'planted-' || head.position + n,
                  'price', json_build_object('amount_minor', n, 'currency', 'EUR')),
                '{}', clock_timestamp()
           from generate_series(1, $1) n, (select max(position) as position from events) head",
    )
    .bind(PLANTED)
    .execute(&database.pool)
    .await
    .unwrap();
    sqlx::query_scalar("select max(position) from events")
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

async fn caught_up(visitor: &Api, position: i64) {
    for path in [
        "/products?limit=1",
        "/search?limit=1",
        "/inventory/store-1?limit=1",
    ] {
        testing::until(
            &format!("{path} is at {position}"),
            crate::process::START_MAX,
            async || {
                let answer = visitor.get(path, &[]).await;
                answer.status == 200 && answer.position().parse::<i64>().unwrap() >= position
            },
        )
        .await;
    }
}

async fn states(settings: &Settings, line: &str, state: &str) {
    let printed = settings.succeed(&format!("{line} --output json")).await;
    for line in printed.lines() {
        let replay: Value = serde_json::from_str(line).unwrap();
        assert_eq!(replay["state"], state, "{replay:#}");
        if state == "switched" {
            assert_eq!(replay["differences"]["count"], 0, "{replay:#}");
        }
    }
    assert_eq!(printed.lines().count(), ReadModel::ALL.len(), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_whose_carrier_was_killed_is_in_nobodys_way() {
    let database = testing::database().await;
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path());
    settings.succeed("create-admin admin@example.org").await;
    settings.succeed("replay users").await;
    for verb in ["replay users --output json", "verify"] {
        // As a verb leaves it that was killed on the way, with no writer anywhere.
        sqlx::query(
            "insert into replays (id, projection, kind, state, generation, requested_by)
             values (gen_random_uuid(), 'users', 'replay', 'running', 9, 'killed')",
        )
        .execute(&database.pool)
        .await
        .unwrap();
        sqlx::query("update leases set expires_at = clock_timestamp()")
            .execute(&database.pool)
            .await
            .unwrap();
        settings.succeed(verb).await;
        let unfinished =
            sqlx::query_scalar("select count(*) from replays where finished_at is null");
        let unfinished: i64 = unfinished.fetch_one(&database.pool).await.unwrap();
        assert_eq!(unfinished, 0, "{verb}");
    }
}
