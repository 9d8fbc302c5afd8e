//! `/users/login`, `/users/token/refresh`, `/users/logout`, `/.well-known/jwks.json`.

use std::time::Instant;

use http_server::Role;
use http_server::Verifier;
use http_server::token::Jwks;
use serde_json::json;

use crate::app::{Answer, PASSWORD, TestApp, guesses_max};

async fn refresh(app: &TestApp, token: &str) -> Answer {
    app.post("/users/token/refresh")
        .json(&json!({"refresh_token": token}))
        .await
}

#[tokio::test]
async fn a_user_logs_in() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let answer = app.login(" ADA@example.org", PASSWORD).await.ok();
    assert_eq!(
        (&answer.body["token_type"], &answer.body["expires_in"]),
        (&json!("Bearer"), &json!(900))
    );
    assert_eq!(answer.headers["cache-control"], "no-store");
    let caller = app.verifier.verify(&answer.text("access_token")).unwrap();
    assert_eq!((caller.user_id, caller.role), (ada.id, Role::Customer));
    let stored: Vec<u8> = sqlx::query_scalar("select token_hash from refresh_tokens")
        .fetch_one(&app.database.pool)
        .await
        .unwrap();
    assert_ne!(stored, answer.text("refresh_token").into_bytes());
}

#[tokio::test]
async fn strangers_and_wrong_passwords_read_the_same() {
    let app = TestApp::start().await;
    app.customer("ada@example.org").await;
    let wrong = app
        .login("ada@example.org", "not my password")
        .await
        .refused(401, "invalid-credentials");
    let unknown = app
        .login("eve@example.org", PASSWORD)
        .await
        .refused(401, "invalid-credentials");
    assert_eq!(wrong.body["detail"], unknown.body["detail"]);
    assert_eq!(
        wrong.headers["www-authenticate"],
        unknown.headers["www-authenticate"]
    );
    app.login("ada@example.org", "")
        .await
        .refused(401, "invalid-credentials");
    let answer = app
        .post("/users/login")
        .json(&json!({"email": "ada@example.org"}))
        .await;
    assert_eq!(
        answer.refused(422, "invalid-body").pointers(),
        ["/password"]
    );
    assert_eq!(app.count("refresh_tokens").await, 0);
}

#[tokio::test]
async fn guessing_is_slowed_down_by_account() {
    let app = TestApp::start().await;
    app.customer("ada@example.org").await;
    for account in ["ada@example.org", "nobody@example.org"] {
        let (began, mut wrong) = (Instant::now(), 0);
        while app.login(account, "not my password").await.status == 401 {
            wrong += 1;
            assert!(wrong <= guesses_max(began), "nobody is slowed down");
        }
        assert!(wrong >= 20, "{wrong}");
        let answer = app
            .login(account, PASSWORD)
            .await
            .refused(429, "too-many-requests");
        assert!(answer.headers.contains_key("retry-after"));
    }
    app.customer("eve@example.org").await;
    for _ in 0..25 {
        app.login("eve@example.org", PASSWORD).await.ok();
    }
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_ends_the_family() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let first = app
        .login("ada@example.org", PASSWORD)
        .await
        .ok()
        .text("refresh_token");
    let elsewhere = app
        .login("ada@example.org", PASSWORD)
        .await
        .ok()
        .text("refresh_token");
    let answer = refresh(&app, &first).await.ok();
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        app.verifier
            .verify(&answer.text("access_token"))
            .unwrap()
            .user_id,
        ada.id
    );
    let second = answer.text("refresh_token");
    let third = refresh(&app, &second).await.ok().text("refresh_token");

    refresh(&app, &first)
        .await
        .refused(401, "invalid-credentials");
    refresh(&app, &third)
        .await
        .refused(401, "invalid-credentials");
    // Another log-in is another family.
    refresh(&app, &elsewhere).await.ok();
    refresh(&app, "not a token")
        .await
        .refused(401, "invalid-credentials");
    refresh(&app, &"x".repeat(1_000))
        .await
        .refused(401, "invalid-credentials");
}

#[tokio::test]
async fn of_two_at_once_one_gets_the_next_token() {
    let app = TestApp::start().await;
    app.customer("ada@example.org").await;
    let token = app
        .login("ada@example.org", PASSWORD)
        .await
        .ok()
        .text("refresh_token");
    let (one, other) = tokio::join!(refresh(&app, &token), refresh(&app, &token));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401]);
}

#[tokio::test]
async fn an_expired_token_is_void() {
    let app = TestApp::start().await;
    app.customer("ada@example.org").await;
    let token = app
        .login("ada@example.org", PASSWORD)
        .await
        .ok()
        .text("refresh_token");
    sqlx::query("update refresh_tokens set expires_at = now()")
        .execute(&app.database.pool)
        .await
        .unwrap();
    refresh(&app, &token)
        .await
        .refused(401, "invalid-credentials");
}

#[tokio::test]
async fn a_role_is_in_force_with_the_next_token() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let token = app
        .login("ada@example.org", PASSWORD)
        .await
        .ok()
        .text("refresh_token");
    let call = app
        .post(&format!("/users/{}/assign-role", ada.id))
        .by(&app.person(Role::Admin));
    call.json(&json!({"role": "courier"})).await.ok();
    let answer = refresh(&app, &token).await.ok();
    assert_eq!(
        app.verifier
            .verify(&answer.text("access_token"))
            .unwrap()
            .role,
        Role::Courier
    );
}

#[tokio::test]
async fn logging_out_ends_ones_own_session_only() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let eve = app.customer("eve@example.org").await;
    let token = app
        .login("ada@example.org", PASSWORD)
        .await
        .ok()
        .text("refresh_token");
    let body = json!({"refresh_token": token});
    app.post("/users/logout")
        .json(&body)
        .await
        .refused(401, "unauthenticated");
    assert_eq!(
        app.post("/users/logout").by(&eve).json(&body).await.status,
        204
    );
    let token = refresh(&app, &token).await.ok().text("refresh_token");
    let body = json!({"refresh_token": token});
    // Twice: it is gone, which is what was asked for.
    for _ in 0..2 {
        assert_eq!(
            app.post("/users/logout").by(&ada).json(&body).await.status,
            204
        );
    }
    refresh(&app, &token)
        .await
        .refused(401, "invalid-credentials");
}

#[tokio::test]
async fn the_published_keys_verify_tokens() {
    let app = TestApp::start().await;
    let answer = app.get("/.well-known/jwks.json").empty().await.ok();
    assert!(
        answer.headers["cache-control"]
            .to_str()
            .unwrap()
            .contains("max-age")
    );
    let verifier = Verifier::new(Jwks::parse(&answer.body.to_string()).unwrap());
    assert!(verifier.verify(&app.person(Role::Staff).token).is_ok());
    assert!(!answer.body.to_string().contains("\"d\""));
}
