//! `/users/{id}/erase`.

use http_server::Role;
use serde_json::json;
use uuid::Uuid;

use crate::app::{PASSWORD, Person, TestApp};
use crate::profiles::{home, preferences};

async fn erase(app: &TestApp, person: &Person) {
    let path = format!("/users/{}/erase", person.id);
    app.post(&path).by(person).empty().await.ok();
}

#[tokio::test]
async fn an_erased_user_is_out_and_the_address_is_free() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let session = app.login("ada@example.org", PASSWORD).await.ok();
    let path = format!("/users/{}/erase", ada.id);
    let first = app.post(&path).by(&ada).key("k").empty().await.ok();
    assert_eq!(first.body["version"], 2);
    assert_eq!(
        app.event_types().await[2..],
        ["user.erased", "email.released"]
    );
    assert_eq!(app.events().await[2].payload, r#"{"type":"user.erased"}"#);
    for table in ["data_keys", "credentials", "refresh_tokens"] {
        assert_eq!(app.count(table).await, 0, "{table}");
    }
    app.login("ada@example.org", PASSWORD)
        .await
        .refused(401, "invalid-credentials");
    let body = json!({"refresh_token": session.text("refresh_token")});
    app.post("/users/token/refresh")
        .json(&body)
        .await
        .refused(401, "invalid-credentials");

    let repeated = app.post(&path).by(&ada).key("k").empty().await.ok();
    assert!(repeated.is_replayed());
    assert_eq!(repeated.body, first.body);
    let again = app.post(&path).by(&ada).json(&json!({})).await.ok();
    assert_eq!(again.body["version"], 2, "nothing happened");
    let another = app.customer("ada@example.org").await;
    assert_ne!(another.id, ada.id);
    app.login("ada@example.org", PASSWORD).await.ok();
    // Whoever has the address now is not who was erased.
    erase(&app, &ada).await;
    app.login("ada@example.org", PASSWORD).await.ok();
}

#[tokio::test]
async fn an_erased_user_changes_no_more() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    erase(&app, &ada).await;
    let path = |verb: &str| format!("/users/{}/{verb}", ada.id);
    let post = async |verb: &str, body| app.post(&path(verb)).by(&ada).json(&body).await;
    let passwords = json!({"current_password": PASSWORD, "new_password": "another password"});
    for (verb, body) in [
        ("update-profile", json!({"name": "Ada"})),
        ("update-profile", json!({"email": "countess@example.org"})),
        ("addresses", home()),
        ("change-password", passwords),
        ("deactivate", json!({})),
    ] {
        post(verb, body).await.refused(409, "user-erased");
    }
    app.put(&path("notification-preferences"))
        .by(&ada)
        .json(&preferences(true))
        .await
        .refused(409, "user-erased");
    app.post(&path("assign-role"))
        .by(&app.person(Role::Admin))
        .json(&json!({"role": "staff"}))
        .await
        .refused(409, "user-erased");
    assert_eq!(app.count("events").await, 4);
    assert_eq!(app.count("credentials").await, 0);
}

#[tokio::test]
async fn an_administrator_erases_others_also_deactivated_ones() {
    let app = TestApp::start().await;
    let admin = app.person(Role::Admin);
    let ada = app.customer("ada@example.org").await;
    app.post(&format!("/users/{}/deactivate", ada.id))
        .by(&ada)
        .empty()
        .await
        .ok();
    let path = format!("/users/{}/erase", ada.id);
    app.post(&path)
        .by(&admin)
        .header("if-match", "\"1\"")
        .empty()
        .await
        .refused(412, "version-mismatch");
    assert_eq!(app.count("data_keys").await, 1);
    app.post(&path).by(&admin).empty().await.ok();
    assert_eq!(app.count("data_keys").await, 0);
    app.customer("ada@example.org").await;

    let nobody = format!("/users/{}/erase", Uuid::now_v7());
    app.post(&nobody)
        .by(&admin)
        .empty()
        .await
        .refused(404, "not-found");
    let ghost = app.person(Role::Customer);
    app.post(&format!("/users/{}/erase", ghost.id))
        .by(&ghost)
        .empty()
        .await
        .refused(404, "not-found");
}

/// As a table that was restored has it: the log says that it is to be gone.
#[tokio::test]
async fn a_key_that_came_back_goes_when_it_is_asked_for_again() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    let pool = &app.database.pool;
    sqlx::query("create table backup as select * from data_keys")
        .execute(pool)
        .await
        .unwrap();
    erase(&app, &ada).await;
    sqlx::query("insert into data_keys select * from backup")
        .execute(pool)
        .await
        .unwrap();
    assert!(app.store.sealer().key(&ada.id).await.unwrap().is_some());
    erase(&app, &ada).await;
    assert_eq!(app.count("data_keys").await, 0);
    assert_eq!(app.count("events").await, 4);
}

/// Even if it has no readable address any more, whose claim nobody can name then.
#[tokio::test]
async fn somebody_whose_key_is_gone_already_is_erased() {
    let app = TestApp::start().await;
    let ada = app.customer("ada@example.org").await;
    sqlx::query("delete from data_keys")
        .execute(&app.database.pool)
        .await
        .unwrap();
    erase(&app, &ada).await;
    assert_eq!(app.event_types().await[2..], ["user.erased"]);
    app.login("ada@example.org", PASSWORD)
        .await
        .refused(401, "invalid-credentials");
}

/// What a process left that ended between the log and the table of passwords.
#[tokio::test]
async fn passwords_of_nobody_are_purged_and_those_of_others_stay() {
    let app = TestApp::start().await;
    let pool = &app.database.pool;
    let ada = app.customer("ada@example.org").await;
    let keyless = app.customer("eve@example.org").await;
    app.customer("bob@example.org").await;
    app.login("ada@example.org", PASSWORD).await.ok();
    app.login("bob@example.org", PASSWORD).await.ok();
    for statement in [
        "create table left_over as select * from credentials",
        "create table left_tokens as select * from refresh_tokens",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    erase(&app, &ada).await;
    let never = Uuid::now_v7();
    let under_way = Uuid::now_v7();
    for (user, age) in [(never, 7_200), (under_way, 5)] {
        sqlx::query("insert into left_over values ($1, 'x', now() - make_interval(secs => $2))")
            .bind(user)
            .bind(age)
            .execute(pool)
            .await
            .unwrap();
    }
    for statement in [
        "truncate credentials",
        "truncate refresh_tokens",
        "insert into credentials select * from left_over",
        "insert into refresh_tokens select * from left_tokens",
        "update credentials set updated_at = now() - interval '2 hours'
         where updated_at > now() - interval '1 hour' and password_hash <> 'x'",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    sqlx::query("delete from data_keys where subject = $1")
        .bind(&keyless.id)
        .execute(pool)
        .await
        .unwrap();
    // Another process begins with it.
    let _beside = app.beside().await;
    testing::until(
        "it is purged",
        std::time::Duration::from_secs(30),
        async || app.count("credentials").await == 3 && app.count("refresh_tokens").await == 1,
    )
    .await;
    let kept: Vec<Uuid> = sqlx::query_scalar("select user_id from credentials")
        .fetch_all(pool)
        .await
        .unwrap();
    assert!(kept.contains(&under_way) && !kept.contains(&never));
    assert!(!kept.contains(&ada.id.parse().unwrap()));
    assert!(
        kept.contains(&keyless.id.parse().unwrap()),
        "a missing key alone is not enough"
    );
    app.login("bob@example.org", PASSWORD).await.ok();
}
