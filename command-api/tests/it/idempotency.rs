//! `Idempotency-Key`, and that a command outlives its client.

use std::time::Duration;

use axum::http::Method;
use http_server::{Role, Server};
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::app::{TestApp, call, registration};

/// What the append function locks.
const APPEND_LOCK: i64 = 7_305_801;

/// A bound for what takes a moment on an idle machine.
const LONG: Duration = Duration::from_secs(60);

fn product(sku: &str) -> Value {
    json!({"sku": sku, "name": "Ale", "price": {"amount_minor": 1, "currency": "EUR"}})
}

#[tokio::test]
async fn the_same_request_has_the_same_outcome() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let first = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await
        .ok();
    let second = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await;
    assert!(!first.is_replayed() && second.is_replayed());
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    for header in ["location", "etag", "nakku-position"] {
        assert_eq!(second.headers[header], first.headers[header]);
    }
    assert_eq!(app.count("events").await, 2);

    // Another process knows it too.
    let other = call(&app.beside().await, Method::POST, "/api/v1/products");
    let third = other.by(&staff).key("k").json(&product("a")).await;
    assert!(third.is_replayed());
    assert_eq!(third.body, first.body);
}

#[tokio::test]
async fn a_key_is_compared_by_the_meaning_of_the_body() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    app.post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await
        .ok();
    let spelled = json!({"price": {"currency": "EUR", "amount_minor": 1}, "name": " Ale ", "sku": "a", "brand": null});
    assert!(
        app.post("/products")
            .by(&staff)
            .key("k")
            .json(&spelled)
            .await
            .ok()
            .is_replayed()
    );
}

#[tokio::test]
async fn a_key_is_for_one_request() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let created = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await
        .ok();
    let other_body = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("b"))
        .await;
    other_body.refused(422, "idempotency-key-reused");
    let other_route = app
        .post(&format!("/products/{}/discontinue", created.id()))
        .by(&staff);
    other_route
        .key("k")
        .empty()
        .await
        .refused(422, "idempotency-key-reused");
    assert_eq!(app.count("events").await, 2);
}

#[tokio::test]
async fn a_key_is_its_principals() {
    let app = TestApp::start().await;
    let one = app.person(Role::Staff);
    let other = app.person(Role::Staff);
    app.post("/products")
        .by(&one)
        .key("k")
        .json(&product("a"))
        .await
        .ok();
    let answer = app
        .post("/products")
        .by(&other)
        .key("k")
        .json(&product("b"))
        .await
        .ok();
    assert!(!answer.is_replayed());
}

#[tokio::test]
async fn without_a_principal_a_key_is_the_requests() {
    let app = TestApp::start().await;
    let first = app
        .post("/users/register")
        .key("k")
        .json(&registration("a@example.org"))
        .await
        .ok();
    let again = app
        .post("/users/register")
        .key("k")
        .json(&registration("a@example.org"))
        .await
        .ok();
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    let stranger = app
        .post("/users/register")
        .key("k")
        .json(&registration("b@example.org"))
        .await
        .ok();
    assert!(!stranger.is_replayed());
    // The password is part of it: nobody learns of an account by repeating its key.
    let mut guess = registration("a@example.org");
    guess["password"] = json!("some other password");
    app.post("/users/register")
        .key("k")
        .json(&guess)
        .await
        .refused(409, "email-taken");
    assert_eq!(app.count("credentials").await, 2);
}

#[tokio::test]
async fn refusals_by_a_rule_are_repeated() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let taken = app
        .post("/products")
        .by(&staff)
        .json(&product("a"))
        .await
        .ok();
    let first = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await
        .refused(409, "sku-taken");
    let again = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await
        .refused(409, "sku-taken");
    assert!(!first.is_replayed() && again.is_replayed());

    let path = format!("/products/{}/discontinue", taken.id());
    let mismatch = || {
        app.post(&path)
            .by(&staff)
            .key("m")
            .header("if-match", "\"9\"")
            .empty()
    };
    assert!(
        !mismatch()
            .await
            .refused(412, "version-mismatch")
            .is_replayed()
    );
    assert!(
        mismatch()
            .await
            .refused(412, "version-mismatch")
            .is_replayed()
    );
    // No-ops too.
    app.post(&path).by(&staff).empty().await.ok();
    let noop = || app.post(&path).by(&staff).key("n").empty();
    let first = noop().await.ok();
    let again = noop().await.ok();
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
}

#[tokio::test]
async fn refusals_of_shape_use_no_key_up() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    app.post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a b"))
        .await
        .refused(422, "invalid-body");
    app.post("/products")
        .key("k")
        .json(&product("a"))
        .await
        .refused(401, "unauthenticated");
    let answer = app
        .post("/products")
        .by(&staff)
        .key("k")
        .json(&product("a"))
        .await
        .ok();
    assert!(!answer.is_replayed());
    let long = "k".repeat(201);
    app.post("/products")
        .by(&staff)
        .key(&long)
        .json(&product("c"))
        .await
        .refused(400, "bad-request");
}

#[tokio::test]
async fn two_at_once_have_one_effect() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let body = json!({"quantity": 5});
    let receive = || {
        app.post("/inventory/store-1/a/receive")
            .by(&staff)
            .key("k")
            .json(&body)
    };
    let (one, other) = tokio::join!(receive(), receive());
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert!(
        statuses == [201, 409] || statuses == [201, 201],
        "{statuses:?}"
    );
    for answer in [one, other] {
        if answer.status == 409 {
            answer.refused(409, "command-in-flight");
        }
    }
    assert_eq!(app.count("events").await, 1);
    assert!(receive().await.ok().is_replayed());
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_its_command() {
    let app = TestApp::start().await;
    let staff = app.person(Role::Staff);
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(server.serve(app.router.clone(), shutdown.clone()));

    // The append waits for the lock, and the client does not wait for the append.
    let mut blocker = sqlx::PgConnection::connect(&app.database.url)
        .await
        .unwrap();
    sqlx::query("select pg_advisory_lock($1)")
        .bind(APPEND_LOCK)
        .execute(&mut blocker)
        .await
        .unwrap();
    let body = product("a").to_string();
    let request = format!(
        "POST /api/v1/products HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        staff.token,
        body.len()
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    testing::until("the append waits", LONG, async || {
        let waiting = "select exists (select from pg_locks where locktype = 'advisory' and not granted
                       and database = (select oid from pg_database where datname = current_database()))";
        sqlx::query_scalar(waiting).fetch_one(&app.database.pool).await.unwrap()
    })
    .await;
    drop(client);
    blocker.close().await.unwrap();

    testing::until("the product is there", LONG, async || {
        app.count("events").await == 2
    })
    .await;
    shutdown.cancel();
    served.await.unwrap().unwrap();
}
