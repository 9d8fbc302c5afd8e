//! `/users`, but for log-in.

use http_server::Role;
use serde_json::json;
use uuid::Uuid;

use crate::app::{PASSWORD, TestApp, registration};
use crate::profiles::{home, preferences};

#[tokio::test]
async fn a_user_registers_and_the_log_does_not_tell_who() {
    let app = TestApp::start().await;
    let answer = app
        .post("/users/register")
        .json(&registration("Ada@Example.org"))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(
        answer.headers["location"],
        format!("/api/v1/users/{}", answer.id())
    );
    assert_eq!(answer.body["version"], 1);
    assert_eq!(
        app.event_types().await,
        ["user.registered", "email.claimed"]
    );
    let rows: Vec<String> = sqlx::query_scalar("select row_to_json(e)::text from events e")
        .fetch_all(&app.database.pool)
        .await
        .unwrap();
    let log = rows.concat().to_lowercase();
    for secret in [
        "ada@",
        "lovelace",
        "4930123456",
        "example.org",
        "argon2",
        "correct horse",
    ] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    // And can be opened by the keys file's holder.
    let key = app.store.sealer().key(answer.id()).await.unwrap().unwrap();
    let event = app
        .events()
        .await
        .remove(0)
        .decode::<domain::user::Event>()
        .unwrap();
    let domain::user::Event::Registered {
        email, phone, role, ..
    } = event
    else {
        panic!("{event:?}");
    };
    assert_eq!(key.open(email.ciphertext()).unwrap(), b"Ada@Example.org");
    assert_eq!(
        key.open(phone.unwrap().ciphertext()).unwrap(),
        b"+4930123456"
    );
    assert_eq!(role, domain::Role::Customer);
}

#[tokio::test]
async fn an_address_is_one_users_whatever_its_case() {
    let app = TestApp::start().await;
    app.customer("ada@example.org").await;
    let answer = app
        .post("/users/register")
        .json(&registration("ADA@example.org"))
        .await;
    answer.refused(409, "email-taken");
    assert_eq!(app.count("credentials").await, 1);
    assert_eq!(app.count("data_keys").await, 1);
}

#[tokio::test]
async fn two_registrations_at_once_yield_one_user() {
    let app = TestApp::start().await;
    let body = registration("ada@example.org");
    let register = || app.post("/users/register").json(&body);
    let (one, other) = tokio::join!(register(), register());
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(app.count("credentials").await, 1);
}

#[tokio::test]
async fn a_wrong_registration_is_refused_member_by_member() {
    let app = TestApp::start().await;
    let body = json!({"email": "ada", "password": "too short", "name": " ", "phone": "none"});
    let answer = app
        .post("/users/register")
        .json(&body)
        .await
        .refused(422, "invalid-body");
    assert_eq!(
        answer.pointers(),
        ["/email", "/name", "/password", "/phone"]
    );
    assert!(!answer.body.to_string().contains("too short"));
    let mut long = registration("ada@example.org");
    long["password"] = json!("x".repeat(201));
    app.post("/users/register")
        .json(&long)
        .await
        .refused(422, "invalid-body");
    let mut admin = registration("ada@example.org");
    admin["role"] = json!("admin");
    app.post("/users/register")
        .json(&admin)
        .await
        .refused(422, "invalid-body");
    assert_eq!(app.count("credentials").await, 0);
}

#[tokio::test]
async fn a_profile_changes_by_what_is_named() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/update-profile", ada.id);
    let answer = app
        .post(&path)
        .by(&ada)
        .json(&json!({"name": "Ada King", "phone": null}))
        .await
        .ok();
    assert_eq!(answer.body["version"], 2);
    let event = app
        .events()
        .await
        .pop()
        .unwrap()
        .decode::<domain::user::Event>()
        .unwrap();
    let domain::user::Event::Updated {
        name, phone: None, ..
    } = event
    else {
        panic!("{event:?}");
    };
    let key = app.store.sealer().key(&ada.id).await.unwrap().unwrap();
    assert_eq!(key.open(name.ciphertext()).unwrap(), b"Ada King");
    // The same again: sealing is deterministic, so nothing happens.
    let answer = app
        .post(&path)
        .by(&ada)
        .json(&json!({"name": "Ada King"}))
        .await
        .ok();
    assert_eq!(answer.body["version"], 2);
    let answer = app
        .post(&path)
        .by(&ada)
        .header("if-match", "\"1\"")
        .json(&json!({"name": "x"}))
        .await;
    answer.refused(412, "version-mismatch");
}

#[tokio::test]
async fn others_are_not_there() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let others = [
        app.customer("eve@example.org").await,
        app.person(Role::Staff),
    ];
    let passwords = json!({"current_password": PASSWORD, "new_password": "another password"});
    let path = |verb: &str| format!("/users/{}/{verb}", ada.id);
    for other in &others {
        app.post(&path("addresses"))
            .by(other)
            .json(&home())
            .await
            .refused(404, "not-found");
        app.put(&path("notification-preferences"))
            .by(other)
            .json(&preferences(true))
            .await
            .refused(404, "not-found");
        app.post(&path("erase"))
            .by(other)
            .empty()
            .await
            .refused(404, "not-found");
        app.post(&path("update-profile"))
            .by(other)
            .json(&json!({"name": "x"}))
            .await
            .refused(404, "not-found");
        app.post(&path("change-password"))
            .by(other)
            .json(&passwords)
            .await
            .refused(404, "not-found");
        app.post(&path("deactivate"))
            .by(other)
            .empty()
            .await
            .refused(404, "not-found");
        app.post(&path("assign-role"))
            .by(other)
            .json(&json!({"role": "admin"}))
            .await
            .refused(403, "forbidden");
    }
    app.post(&path("update-profile"))
        .json(&json!({"name": "x"}))
        .await
        .refused(401, "unauthenticated");
    app.post(&path("change-password"))
        .json(&passwords)
        .await
        .refused(401, "unauthenticated");
    app.post(&path("deactivate"))
        .empty()
        .await
        .refused(401, "unauthenticated");
    app.post(&path("assign-role"))
        .json(&json!({"role": "admin"}))
        .await
        .refused(401, "unauthenticated");
    app.post(&path("addresses"))
        .json(&home())
        .await
        .refused(401, "unauthenticated");
    app.put(&path("notification-preferences"))
        .json(&preferences(true))
        .await
        .refused(401, "unauthenticated");
    app.post(&path("erase"))
        .empty()
        .await
        .refused(401, "unauthenticated");
    // An administrator changes nobody's profile or password either.
    let admin = app.person(Role::Admin);
    app.post(&path("update-profile"))
        .by(&admin)
        .json(&json!({"name": "x"}))
        .await
        .refused(404, "not-found");
    app.post(&path("change-password"))
        .by(&admin)
        .json(&passwords)
        .await
        .refused(404, "not-found");
    assert_eq!(app.count("events").await, 4);
}

#[tokio::test]
async fn a_deactivated_user_is_out() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let session = app.login("ada@example.org", PASSWORD).await.ok();
    let path = format!("/users/{}/deactivate", ada.id);
    let first = app.post(&path).by(&ada).empty().await.ok();
    assert_eq!(first.body["version"], 2);
    let again = app
        .post(&path)
        .by(&app.person(Role::Admin))
        .json(&json!({}))
        .await
        .ok();
    assert_eq!(again.body["version"], 2);
    assert_eq!(app.count("refresh_tokens").await, 0);

    app.login("ada@example.org", PASSWORD)
        .await
        .refused(401, "invalid-credentials");
    let body = json!({"refresh_token": session.text("refresh_token")});
    app.post("/users/token/refresh")
        .json(&body)
        .await
        .refused(401, "invalid-credentials");
    let profile = app
        .post(&format!("/users/{}/update-profile", ada.id))
        .by(&ada);
    profile
        .json(&json!({"name": "x"}))
        .await
        .refused(409, "user-deactivated");
    let role = app
        .post(&format!("/users/{}/assign-role", ada.id))
        .by(&app.person(Role::Admin));
    role.json(&json!({"role": "staff"}))
        .await
        .refused(409, "user-deactivated");
    // And keeps the address.
    app.post("/users/register")
        .json(&registration("ada@example.org"))
        .await
        .refused(409, "email-taken");
}

#[tokio::test]
async fn an_administrator_deactivates_others_and_assigns_roles() {
    let app = TestApp::start().await;
    let admin = app.person(Role::Admin);
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/assign-role", ada.id);
    app.post(&path)
        .by(&admin)
        .json(&json!({"role": "staff"}))
        .await
        .ok();
    let answer = app
        .post(&path)
        .by(&admin)
        .json(&json!({"role": "root"}))
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/role"]);
    app.post(&format!("/users/{}/deactivate", ada.id))
        .by(&admin)
        .empty()
        .await
        .ok();

    let nobody = Uuid::now_v7();
    let call = app.post(&format!("/users/{nobody}/assign-role")).by(&admin);
    call.json(&json!({"role": "staff"}))
        .await
        .refused(404, "not-found");
    let call = app.post(&format!("/users/{nobody}/deactivate")).by(&admin);
    call.empty().await.refused(404, "not-found");
    // A token of somebody who never registered.
    let ghost = app.person(Role::Customer);
    let call = app
        .post(&format!("/users/{}/update-profile", ghost.id))
        .by(&ghost);
    call.json(&json!({"name": "x"}))
        .await
        .refused(404, "not-found");
    let call = app
        .post(&format!("/users/{}/change-password", ghost.id))
        .by(&ghost);
    let passwords = json!({"current_password": PASSWORD, "new_password": "another password"});
    call.json(&passwords).await.refused(404, "not-found");
}
