//! `/users/{id}/change-password`.

use std::time::Instant;

use serde_json::json;

use crate::app::{PASSWORD, TestApp, guesses_max};

#[tokio::test]
async fn a_password_changes_and_every_session_ends() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let session = app.login("ada@example.org", PASSWORD).await.ok();
    let path = format!("/users/{}/change-password", ada.id);
    let wrong = json!({"current_password": "not my password", "new_password": "another password"});
    app.post(&path)
        .by(&ada)
        .json(&wrong)
        .await
        .refused(401, "invalid-credentials");
    let short = json!({"current_password": PASSWORD, "new_password": "short"});
    let answer = app
        .post(&path)
        .by(&ada)
        .json(&short)
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/new_password"]);
    assert_eq!(app.count("refresh_tokens").await, 1);

    let change = json!({"current_password": PASSWORD, "new_password": "another password"});
    let first = app.post(&path).by(&ada).key("k").json(&change).await.ok();
    assert_eq!(first.body["version"], 2);
    app.login("ada@example.org", PASSWORD)
        .await
        .refused(401, "invalid-credentials");
    app.login("ada@example.org", "another password").await.ok();
    let refresh = app.post("/users/token/refresh");
    let body = json!({"refresh_token": session.text("refresh_token")});
    refresh
        .json(&body)
        .await
        .refused(401, "invalid-credentials");

    // Repeated, though the current password is another one by now.
    let again = app.post(&path).by(&ada).key("k").json(&change).await.ok();
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    let other = json!({"current_password": "another password", "new_password": "a third password"});
    app.post(&path)
        .by(&ada)
        .key("k")
        .json(&other)
        .await
        .refused(422, "idempotency-key-reused");
    app.login("ada@example.org", "another password").await.ok();
    assert_eq!(
        app.event_types()
            .await
            .iter()
            .filter(|t| *t == "user.password-changed")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_refused_change_leaves_the_password_as_it_was() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/change-password", ada.id);
    let change = json!({"current_password": PASSWORD, "new_password": "another password"});
    let answer = app
        .post(&path)
        .by(&ada)
        .header("if-match", "\"7\"")
        .json(&change)
        .await;
    answer.refused(412, "version-mismatch");
    app.login("ada@example.org", PASSWORD).await.ok();

    app.post(&format!("/users/{}/deactivate", ada.id))
        .by(&ada)
        .empty()
        .await
        .ok();
    app.post(&path)
        .by(&ada)
        .json(&change)
        .await
        .refused(409, "user-deactivated");
}

#[tokio::test]
async fn guessing_the_current_password_is_slowed_down() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let path = format!("/users/{}/change-password", ada.id);
    let wrong = json!({"current_password": "not my password", "new_password": "another password"});
    let guess = async || app.post(&path).by(&ada).json(&wrong).await;
    let (began, mut guesses) = (Instant::now(), 0);
    let answer = loop {
        let answer = guess().await;
        if answer.status != 401 {
            break answer.refused(429, "too-many-requests");
        }
        guesses += 1;
        assert!(guesses <= guesses_max(began), "nobody is slowed down");
    };
    assert!(guesses >= 20, "{guesses}");
    assert!(answer.headers.contains_key("retry-after"));
}
