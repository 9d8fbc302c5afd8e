//! Where personal data can be read: before an erasure in the profiles only, afterwards nowhere. Passwords nowhere at all.
//!
//! Looked for as they are, in small letters, in hexadecimal and in base64; in every table, in every record of every topic,
//! in every file of the data directory but PostgreSQL's own, and in every line that any process has printed.

mod places;

use std::time::Duration;

use nakku::private_postgres::PrivatePostgres;
use nix::sys::signal::Signal::SIGTERM;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use testing::until;

use self::places::{Places, assert_absent, contents, is_profile};
use crate::api::{Answer, Api};
use crate::process::{DataDirectory, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const ADMINISTRATORS_PASSWORD: &str = "correct horse battery";
/// Everything that anybody has to say.
const LOG_FILTER: &str = "debug,sqlx=debug,hyper=debug,tantivy=debug,librdkafka=debug";
/// From a command to its record on the topic, on a busy machine.
const PUBLISHED_MAX: Duration = Duration::from_secs(60);

/// What is personal, one token each that occurs in nothing else.
const PERSONAL: [&str; 12] = [
    "CanaryMailOne7q",
    "CanaryMailTwo7q",
    "CanaryNameOne7q",
    "CanaryNameTwo7q",
    "4915237777123",
    "4915237777456",
    "CanaryLabel7q",
    "CanaryRecipient7q",
    "CanaryStreet7q",
    "CNRYQZ97",
    "CanaryCity7q",
    "CanaryNote7q",
];
/// Those of them that the profile shows in the end; the others were replaced.
const IN_THE_PROFILE: [&str; 9] = [
    "CanaryMailTwo7q",
    "CanaryNameTwo7q",
    "4915237777456",
    "CanaryLabel7q",
    "CanaryRecipient7q",
    "CanaryStreet7q",
    "CNRYQZ97",
    "CanaryCity7q",
    "CanaryNote7q",
];
/// Those of them that the delivery of an order shows.
const IN_THE_DELIVERY: [&str; 5] = [
    "CanaryRecipient7q",
    "CanaryStreet7q",
    "CNRYQZ97",
    "CanaryCity7q",
    "CanaryNote7q",
];
/// What nobody may ever see: passwords, right and wrong, and how one pays, what stood in requests that failed.
const SECRET: [&str; 5] = [
    "CanaryPaymentToken7q",
    "CanaryPasswordOne7q",
    "CanaryPasswordTwo7q",
    "CanaryGuess7q",
    "CanaryStray7q",
];

struct Installation {
    directory: DataDirectory,
    topic_prefix: String,
    settings: Settings,
}

impl Installation {
    fn new() -> Installation {
        let directory = DataDirectory::new();
        let topic_prefix = testing::topic_prefix();
        let settings = Settings::default()
            .with("NAKKU_DATA_DIR", directory.path())
            .with("KAFKA_BROKERS", testing::kafka_brokers())
            .with("NAKKU_TOPIC_PREFIX", &topic_prefix)
            .with("NAKKU_TOPIC_PARTITIONS", "2")
            .with("NAKKU_LOG", LOG_FILTER)
            .with("NAKKU_ADMIN_PASSWORD", ADMINISTRATORS_PASSWORD);
        Installation {
            directory,
            topic_prefix,
            settings,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_is_readable_in_the_profiles_only_and_after_the_erasure_nowhere() {
    let installation = Installation::new();
    let mut up = installation.settings.start("up --port 0 --no-seed");
    let visitor = Api::new(&up.ready().await);
    let admin = visitor
        .logged_in(ADMINISTRATOR, ADMINISTRATORS_PASSWORD)
        .await;
    let server = PrivatePostgres::connect_or_start(installation.directory.path())
        .await
        .unwrap();
    let pool = PgPool::connect(&server.url()).await.unwrap();
    let mut printed = Vec::new();

    let canary = everything_is_said(&visitor, &admin).await;
    requests_fail(&visitor, &canary).await;
    compared_with_a_forged_row(&installation.settings, &pool, &mut printed).await;
    let places = Places::of(&installation, &up, &pool, &visitor, &admin, &printed).await;
    assert!(
        places.profiles.len() == 2,
        "the live one and the one before"
    );
    for token in IN_THE_PROFILE {
        for content in &places.profiles {
            assert!(content.holds(token), "{token} is not in {}", content.place);
        }
    }
    for token in IN_THE_DELIVERY {
        assert!(
            places.deliveries.iter().any(|it| it.holds(token)),
            "{token}"
        );
    }
    for token in PERSONAL.iter().chain(&SECRET) {
        assert_absent(token, &places.others);
    }
    for token in SECRET {
        assert_absent(token, &places.profiles);
        assert_absent(token, &places.deliveries);
    }

    let position = erased(&canary).await;
    an_old_token_reads_nothing(&canary, &admin, &position).await;
    let erased = Places::of(&installation, &up, &pool, &visitor, &admin, &printed).await;
    replayed(&installation.settings, &mut printed).await;
    let rebuilt = Places::of(&installation, &up, &pool, &visitor, &admin, &printed).await;
    for places in [erased, rebuilt] {
        assert!(places.profiles.len() >= 2);
        for token in PERSONAL.iter().chain(&SECRET) {
            assert_absent(token, &places.profiles);
            assert_absent(token, &places.deliveries);
            assert_absent(token, &places.others);
        }
    }
    pool.close().await;
    server.stop().await.unwrap();
    up.stop(SIGTERM).await;
}

/// The verb, while everything runs, and where nothing does.
#[tokio::test(flavor = "multi_thread")]
async fn the_verb_ends_when_no_profile_shows_the_user() {
    let database = testing::empty_database().await;
    let directory = DataDirectory::new();
    let settings = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", ADMINISTRATORS_PASSWORD);
    let mut up = settings.start("up --port 0 --no-seed");
    let visitor = Api::new(&up.ready().await);
    let mut ids = Vec::new();
    for number in 0..2 {
        let body = json!({
            "email": format!("{number}@example.org"), "name": "CanaryNameOne7q",
            "password": "CanaryPasswordOne7q",
        });
        let registered = visitor.post("/users/register", &[], &body).await;
        ids.push(
            registered.expect(201).body["id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let shown = async || {
        let profiles = contents(&database.pool).await;
        let mut profiles = profiles.iter().filter(|it| is_profile(&it.place));
        profiles.any(|content| content.holds("CanaryNameOne7q"))
    };
    until("the profiles show them", PUBLISHED_MAX, shown).await;
    let said = settings.succeed(&format!("erase-user {}", ids[0])).await;
    assert!(said.starts_with(&format!("user {} is erased, at position ", ids[0])));
    let again = settings.succeed(&format!("erase-user {}", ids[0])).await;
    assert_eq!(again, format!("user {} was erased before\n", ids[0]));
    up.stop(SIGTERM).await;

    assert!(shown().await, "the other one");
    settings.succeed(&format!("erase-user {}", ids[1])).await;
    assert!(!shown().await);
    let verified = settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");

    let unknown = settings
        .run(&format!("erase-user {}", uuid::Uuid::now_v7()))
        .await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stderr).contains("does not exist"));
    let wrong = settings.run("erase-user ada@example.org").await;
    assert_eq!(wrong.status.code(), Some(2), "{}", text(&wrong.stderr));
}

/// Every command of a user, each with what is personal. The user, logged in.
async fn everything_is_said(visitor: &Api, admin: &Api) -> User {
    let register = json!({
        "email": "CanaryMailOne7q@example.org", "name": "CanaryNameOne7q",
        "phone": "+49 1523 7777123", "password": "CanaryPasswordOne7q",
    });
    for key in ["a", "a", "b"] {
        let key = [("idempotency-key", key)];
        visitor.post("/users/register", &key, &register).await;
    }
    let session = login(
        visitor,
        "CanaryMailOne7q@example.org",
        "CanaryPasswordOne7q",
    )
    .await;
    let api = visitor
        .logged_in("canarymailone7q@EXAMPLE.org", "CanaryPasswordOne7q")
        .await;
    let other = json!({"email": "taken@example.org", "name": "Eve", "password": "CanaryGuess7q"});
    visitor
        .post("/users/register", &[], &other)
        .await
        .expect(201);
    let me = until_there(&api).await;
    let path = |verb: &str| format!("/users/{me}/{verb}");
    let post = async |verb: &str, key: &str, body: Value| {
        let key = [("idempotency-key", key)];
        api.post(&path(verb), &key, &body).await
    };
    let taken = json!({"email": "taken@example.org", "name": "CanaryNameTwo7q"});
    post("update-profile", "c", taken).await.expect(409);
    let profile = json!({
        "email": "CanaryMailTwo7q@example.org", "name": "CanaryNameTwo7q",
        "phone": "+4915237777456",
    });
    post("update-profile", "d", profile.clone())
        .await
        .expect(200);
    post("update-profile", "d", profile).await.expect(200);
    let address = json!({
        "label": "CanaryLabel7q", "recipient": "CanaryRecipient7q", "lines": ["CanaryStreet7q 12"],
        "postal_code": "CNRYQZ97", "city": "CanaryCity7q", "country": "DE", "note": "CanaryNote7q",
    });
    for key in ["e", "e", "f"] {
        post("addresses", key, address.clone()).await.expect(200);
    }
    goods_are_there(admin).await;
    for (key, token, address, status) in [
        ("i", "tok_ok", None, "completed"),
        ("j", "tok_ok", Some(&address), "completed"),
        ("k", "CanaryPaymentToken7q", Some(&address), "cancelled"),
    ] {
        let order = json!({
            "store_id": "store-1", "items": [{"sku": "TEA", "quantity": 1}],
            "payment": {"token": token}, "address": address,
        });
        let headers = [("idempotency-key", key), ("prefer", "wait=20")];
        let placed = api.post("/orders", &headers, &order).await;
        assert_eq!(placed.expect(201).body["status"], status);
    }
    let mail = json!({"email": true, "webhook": false, "log": false});
    let preferences = json!({"order": mail, "payment": mail, "delivery": mail, "account": mail});
    let preferred = format!("/api/v1{}", path("notification-preferences"));
    api.send(Method::PUT, &preferred, &[], Some(&preferences))
        .await
        .expect(200);
    let guessed =
        json!({"current_password": "CanaryGuess7q", "new_password": "CanaryPasswordTwo7q"});
    post("change-password", "g", guessed).await.expect(401);
    let known = json!({
        "current_password": "CanaryPasswordOne7q", "new_password": "CanaryPasswordTwo7q",
    });
    post("change-password", "h", known).await.expect(200);
    let role = json!({"role": "courier"});
    admin
        .post(&path("assign-role"), &[], &role)
        .await
        .expect(200);
    let body = json!({"refresh_token": session["refresh_token"]});
    visitor
        .post("/users/token/refresh", &[], &body)
        .await
        .expect(401);
    let session = login(
        visitor,
        "CanaryMailTwo7q@example.org",
        "CanaryPasswordTwo7q",
    )
    .await;
    let body = json!({"refresh_token": session["refresh_token"]});
    api.post("/users/logout", &[], &body).await.expect(204);
    User { api, id: me }
}

async fn goods_are_there(admin: &Api) {
    let tea =
        json!({"sku": "TEA", "name": "Tea", "price": {"amount_minor": 799, "currency": "EUR"}});
    admin.post("/products", &[], &tea).await.expect(201);
    let goods = json!({"quantity": 9});
    let key = [("idempotency-key", "tea")];
    let received = admin.post("/inventory/store-1/TEA/receive", &key, &goods);
    received.await.expect(201);
}

/// Somebody with an access token.
struct User {
    api: Api,
    id: String,
}

async fn login(visitor: &Api, email: &str, password: &str) -> Value {
    let body = json!({"email": email, "password": password});
    visitor
        .post("/users/login", &[], &body)
        .await
        .expect(200)
        .body
}

/// One's own id, once the profile is there.
async fn until_there(api: &Api) -> String {
    let there = async || api.get("/users/me", &[]).await.status == 200;
    until("the profile is there", PUBLISHED_MAX, there).await;
    let me = api.get("/users/me", &[]).await.expect(200);
    me.body["id"].as_str().unwrap().to_owned()
}

/// What people get wrong, with what must not be kept in it.
async fn requests_fail(visitor: &Api, canary: &User) {
    let stray = "CanaryStray7q";
    let wrong = json!({"email": "CanaryMailTwo7q@example.org", "password": "CanaryGuess7q"});
    let refused: Answer = visitor.post("/users/login", &[], &wrong).await;
    refused.expect(401);
    for body in [
        json!({"email": stray, "password": stray, "name": stray, "phone": stray}),
        json!({"email": {"x": stray}, "password": [stray], "name": 7}),
        json!({"email": "a@b.c", "password": stray, "name": {"CanaryStray7q": stray}}),
        json!({"email": "a@b.c", "password": stray, "name": "x", "CanaryStray7q": stray}),
        json!({"email": "a@b.c", "password": stray, "name": "CanaryStray7q\u{0}"}),
        json!(stray),
    ] {
        let answer = visitor.post("/users/register", &[], &body).await;
        assert!(answer.status.is_client_error(), "{body}: {}", answer.status);
    }
    visitor
        .post_text("/users/register", "{\"email\": CanaryStray7q")
        .await
        .expect(400);
    let path = format!("/users/{}/update-profile", canary.id);
    for (headers, status) in [
        (
            vec![("idempotency-key", stray), ("if-match", "\"77\"")],
            412,
        ),
        (vec![("if-match", stray)], 400),
        (vec![("nakku-correlation-id", stray)], 400),
        (vec![("nakku-min-position", stray)], 200),
        (vec![("traceparent", stray), ("user-agent", stray)], 200),
        (vec![("authorization", "Bearer CanaryStray7q")], 401),
    ] {
        let body = json!({"name": "CanaryNameTwo7q"});
        let answer = canary.api.post(&path, &headers, &body).await;
        assert!(
            answer.status.as_u16() == status || answer.status.is_client_error(),
            "{headers:?}: {}",
            answer.status
        );
    }
    for path in [
        "/users/CanaryStray7q",
        "/users/me?CanaryStray7q=CanaryMailTwo7q",
        "/CanaryStray7q",
        "/search?q=CanaryStray7q",
        "/search?cursor=CanaryStray7q",
        "/products/by-sku/CanaryStray7q",
    ] {
        canary.api.get(path, &[]).await;
    }
    let body = json!({"refresh_token": stray});
    let refused = visitor.post("/users/token/refresh", &[], &body).await;
    refused.expect(401);
}

/// A comparison tells where rows differ, and keeps it for operators; also what was replayed is there twice from then on.
async fn compared_with_a_forged_row(settings: &Settings, pool: &PgPool, printed: &mut Vec<String>) {
    printed.push(settings.succeed("replay users").await);
    let live: i32 = sqlx::query_scalar("select live from projections where name = 'users'")
        .fetch_one(pool)
        .await
        .unwrap();
    let set = |phone: &str| {
        format!(
            "update users_{live}.users set phone = {phone}
             where email = 'CanaryMailTwo7q@example.org'"
        )
    };
    let forged = sqlx::query(&set("phone || '0'")).execute(pool).await;
    assert_eq!(forged.unwrap().rows_affected(), 1);
    for line in [
        "replay users --compare-only",
        "replay users --compare-only --output json",
        "verify",
    ] {
        let output = settings.run(line).await;
        printed.extend([text(&output.stdout), text(&output.stderr)]);
    }
    assert!(
        printed.concat().contains("personal, another"),
        "it was seen"
    );
    sqlx::query(&set("'+4915237777456'"))
        .execute(pool)
        .await
        .unwrap();
}

/// The position of the erasure, which was the user's own wish.
async fn erased(canary: &User) -> String {
    let path = format!("/users/{}/erase", canary.id);
    let erased = canary.api.post(&path, &[], &json!({})).await.expect(200);
    let again = canary.api.post(&path, &[], &json!({})).await.expect(200);
    assert_eq!(again.body["version"], erased.body["version"]);
    erased.position().to_owned()
}

async fn an_old_token_reads_nothing(canary: &User, admin: &Api, position: &str) {
    let at_position = [("nakku-min-position", position), ("prefer", "wait=10")];
    for path in ["/users/me".to_owned(), format!("/users/{}", canary.id)] {
        canary.api.get(&path, &at_position).await.expect(404);
    }
    let brought = admin.get("/deliveries", &at_position).await.expect(200);
    let brought = brought.body["items"].as_array().unwrap().clone();
    assert_eq!(brought.len(), 2);
    assert!(brought.iter().all(|it| it["address"].is_null()));
    let path = format!("/users/{}", canary.id);
    let seen = admin.get(&path, &at_position).await.expect(200);
    assert_eq!(seen.body["status"], "erased");
    for member in ["email", "name", "phone"] {
        assert_eq!(seen.body[member], Value::Null, "{member}");
    }
    assert_eq!(seen.body["addresses"], json!([]));
    let path = format!("/users/{}/update-profile", canary.id);
    let refused = canary.api.post(&path, &[], &json!({"name": "x"})).await;
    assert_eq!(refused.expect(409).body["code"], "user-erased");
}

async fn replayed(settings: &Settings, printed: &mut Vec<String>) {
    let verified = settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");
    printed.push(verified);
    for model in ["users", "deliveries"] {
        let line = format!("replay {model} --output json");
        let replayed = settings.succeed(&line).await;
        let replay: Value = serde_json::from_str(&replayed).unwrap();
        assert_eq!(replay["state"], "switched");
        assert_eq!(replay["differences"]["count"], 0, "{replayed}");
        printed.push(replayed);
    }
}
