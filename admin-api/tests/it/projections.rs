use axum::http::Method;
use read_models::{Checkpoint, checkpoints, generations, products};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::seed::{park, receive_many};
use crate::{Api, each};

/// A generation goes live at a position.
async fn go_live(pool: &PgPool, name: &str, shape: &str, position: i64) {
    generations::ensure(pool, name).await.unwrap();
    let begun = generations::begin_building(pool, name, 0).await.unwrap();
    let checkpoint = Checkpoint {
        position,
        event_id: None,
    };
    checkpoints::publish(pool, name, begun.generation, &checkpoint)
        .await
        .unwrap();
    generations::switch(pool, name, begun.generation, shape)
        .await
        .unwrap();
}

async fn with_products() -> Api {
    let api = Api::start().await;
    receive_many(&api.store, "store-1:A", 5).await;
    go_live(api.pool(), products::NAME, products::SHAPE, 5).await;
    go_live(api.pool(), products::NAME, products::SHAPE, 3).await;
    api
}

async fn lease(pool: &PgPool, name: &str) {
    sqlx::query(
        "insert into leases (name, holder, epoch, expires_at)
         values ($1, 'worker-1', 1, now() + interval '1 hour')",
    )
    .bind(name)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn each_generation_says_how_far_it_is() {
    let api = with_products().await;
    generations::ensure(api.pool(), "users").await.unwrap();
    lease(api.pool(), "products").await;
    park(api.pool(), "store-1:A", 2, Some("no")).await;
    let rows = api.get("projections").await.is(200);
    assert_eq!(each(&rows, "name"), ["products", "products", "users"]);
    assert_eq!(each(&rows, "state"), ["live", "previous", "building"]);
    assert_eq!(
        each(&rows, "generation"),
        [&json!(2), &json!(1), &Value::Null]
    );
    let mut live = rows["items"][0].clone();
    let lag = live.as_object_mut().unwrap().remove("lag_seconds").unwrap();
    assert!(lag.as_f64().unwrap() > 0.0);
    let expected = json!({
        "name": "products", "generation": 2, "state": "live", "owner": "worker-1", "position": 3,
        "lag_events": 2, "parked": 0, "failure": null,
    });
    assert_eq!(live, expected);
    assert_eq!(rows["items"][1]["lag_events"], 0);
    assert_eq!(rows["items"][1]["lag_seconds"], 0.0);
}

#[tokio::test]
async fn one_projection_is_shown_with_its_generations() {
    let api = with_products().await;
    let one = api.get("projections/products").await.is(200);
    assert_eq!(one["name"], "products");
    assert_eq!(one["generation"], 2);
    assert_eq!(one["generations"].as_array().unwrap().len(), 2);
    assert_eq!(one["replays"], json!([]));
    api.get("projections/orders")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn an_index_is_named_by_its_model_where_there_is_one() {
    let api = Api::start().await;
    generations::ensure(api.pool(), "search@a").await.unwrap();
    let one = api.get("projections/search").await.is(200);
    assert_eq!(one["name"], "search@a");
    generations::ensure(api.pool(), "search@b").await.unwrap();
    let answer = api.get("projections/search").await;
    answer.problem(409, "projection-ambiguous");
    let one = api.get("projections/search@b").await.is(200);
    assert_eq!(one["name"], "search@b");
}

#[tokio::test]
async fn a_replay_is_asked_for_and_watched() {
    let api = with_products().await;
    let body = json!({"compare_only": true, "require_equal": false});
    let asked = api.post("projections/products/replay", Some(body)).await;
    let location = asked.header("location").to_owned();
    let replay = asked.is(202);
    assert_eq!(replay["state"], "requested");
    assert_eq!(replay["kind"], "replay");
    assert_eq!(replay["compare_only"], true);
    assert_eq!(replay["requested_by"], "u-admin");
    let id = replay["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/v1/admin/replays/{id}"));

    let again = api.post("projections/products/replay", None).await;
    again.problem(409, "replay-in-progress");

    sqlx::query(
        "update replays set state = 'running', generation = 3, position = 2, target = 5, rate = 2",
    )
    .execute(api.pool())
    .await
    .unwrap();
    let running = api.get(&format!("replays/{id}")).await.is(200);
    assert_eq!(running["state"], "running");
    assert_eq!(running["eta_seconds"], 1.5);
    let differences = json!({"live_rows": 1, "rebuilt_rows": 1, "count": 0, "first": []});
    sqlx::query("update replays set state = 'compared', differences = $1, finished_at = now()")
        .bind(&differences)
        .execute(api.pool())
        .await
        .unwrap();
    let ended = api.get(&format!("replays/{id}")).await.is(200);
    assert_eq!(ended["differences"], differences);
    assert_eq!(ended["eta_seconds"], Value::Null);
    let one = api.get("projections/products").await.is(200);
    assert_eq!(one["replays"][0]["id"], id);

    for unknown in ["replays/x", "replays/0198c0de-0000-7000-8000-000000000000"] {
        api.get(unknown).await.problem(404, "not-found");
    }
    let unknown = api.post("projections/orders/replay", None).await;
    unknown.problem(404, "not-found");
    let body = json!({"compare": true});
    let shapeless = api.post("projections/products/replay", Some(body)).await;
    shapeless.problem(422, "invalid-body");
}

#[tokio::test]
async fn a_repeated_key_is_the_same_replay() {
    let api = with_products().await;
    let path = "projections/products/replay";
    let key = [("idempotency-key", "k-1")];
    let first = api.ask(Method::POST, path, &key, None).await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let first = first.is(202);
    let second = api.ask(Method::POST, path, &key, None).await;
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(second.is(202), first);
    let body = json!({"require_equal": true});
    let other = api.ask(Method::POST, path, &key, Some(body)).await;
    other.problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn a_rollback_needs_a_generation_that_can_be_read() {
    let api = with_products().await;
    generations::ensure(api.pool(), "stock").await.unwrap();
    let none = api.post("projections/stock/rollback", None).await;
    none.problem(409, "no-previous-generation");

    go_live(api.pool(), "users", "users-0", 1).await;
    go_live(api.pool(), "users", read_models::users::SHAPE, 1).await;
    let foreign = api.post("projections/users/rollback", None).await;
    foreign.problem(409, "previous-generation-unreadable");
    let detail = foreign.body["detail"].as_str().unwrap();
    assert!(detail.contains("nakku replay users"), "{detail}");

    let asked = api.post("projections/products/rollback", None).await;
    assert_eq!(asked.is(202)["kind"], "rollback");
}

#[tokio::test]
async fn a_projection_is_paused_and_resumed() {
    let api = with_products().await;
    for (verb, state) in [("pause", "paused"), ("pause", "paused"), ("resume", "live")] {
        let answer = api
            .post(&format!("projections/products/{verb}"), None)
            .await;
        assert_eq!(answer.is(200)["state"], state);
        let shown = api.get("projections/products").await.is(200);
        assert_eq!(shown["state"], state);
    }
    generations::set_failure(api.pool(), "products", Some("run `nakku replay products`"))
        .await
        .unwrap();
    let failed = api.get("projections/products").await.is(200);
    assert_eq!(failed["state"], "failed");
    assert_eq!(failed["failure"], "run `nakku replay products`");
    let unknown = api.post("projections/orders/pause", None).await;
    unknown.problem(404, "not-found");
}
