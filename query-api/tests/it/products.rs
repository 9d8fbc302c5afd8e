use http_server::Role;
use read_models::products::{self, Product};
use serde_json::json;
use tokio::time::Instant;

use crate::seed::{Rows, advance, go_live, product};
use crate::{Api, get, walk};

async fn with_products(count: u32) -> Api {
    let api = Api::start().await;
    let rows: Vec<Product> = (1..=count).map(product).collect();
    go_live(api.pool(), products::NAME, Rows::Products(&rows), 10).await;
    api
}

#[tokio::test]
async fn a_product_is_found_by_id_and_by_sku() {
    let api = with_products(2).await;
    let id = product(2).id;
    for path in [format!("products/{id}"), "products/by-sku/sku-2".to_owned()] {
        let answer = api.get(&path).await;
        assert_eq!(answer.header("etag"), "\"3\"");
        let expected = json!({
            "id": id, "sku": "sku-2", "name": "Product 2", "brand": "Farm", "description": null,
            "category": ["Food", "Fruit"], "size": "1 kg", "attributes": {"origin": "Spain"},
            "price": {"amount_minor": 199, "currency": "EUR"}, "status": "active", "version": 3,
        });
        assert_eq!(answer.ok(10), expected);
    }
    for path in ["products/unknown", "products/by-sku/unknown"] {
        api.get(path).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_version_that_the_client_has_is_not_sent_again() {
    let api = with_products(1).await;
    for known in ["\"3\"", "\"1\", W/\"3\"", "*"] {
        let headers = [("if-none-match", known)];
        let answer = api.get_with("products/by-sku/sku-1", &headers).await;
        assert_eq!(answer.status, 304, "{known}");
        assert_eq!(answer.header("etag"), "\"3\"");
        assert_eq!(answer.header("nakku-position"), "10");
        assert!(answer.body.is_null());
    }
    let headers = [("if-none-match", "\"2\"")];
    let answer = api.get_with("products/by-sku/sku-1", &headers).await;
    assert_eq!(answer.ok(10)["version"], 3);
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursors() {
    let api = with_products(5).await;
    let pages = walk(&api, "products?limit=2", "items", "sku").await;
    let expected = [
        vec!["sku-1", "sku-2"],
        vec!["sku-3", "sku-4"],
        vec!["sku-5"],
    ];
    assert_eq!(pages, expected);
    assert_eq!(
        walk(&api, "products?limit=5", "items", "sku").await.len(),
        1
    );
    for wrong in ["limit=0", "limit=201", "cursor=x", "limit=many"] {
        let answer = api.get(&format!("products?{wrong}")).await;
        answer.problem(400, "bad-request");
    }
}

#[tokio::test]
async fn products_are_public_whoever_asks() {
    let api = with_products(1).await;
    let customer = api.bearer("u1", Role::Customer);
    for authorization in [customer.as_str(), "Bearer expired"] {
        let headers = [("authorization", authorization)];
        api.get_with("products/by-sku/sku-1", &headers).await.ok(10);
    }
}

#[tokio::test]
async fn a_query_waits_for_the_position_it_wants() {
    let api = with_products(1).await;
    let router = api.router.clone();
    let waiting = tokio::spawn(async move {
        let headers = [
            ("nakku-min-position", "9, orders:900, 12"),
            ("prefer", "wait=10"),
        ];
        get(router, "products/by-sku/sku-1", &headers).await
    });
    let mut changed = product(1);
    changed.version = 4;
    products::upsert(api.pool(), 1, &[changed]).await.unwrap();
    advance(api.pool(), products::NAME, 1, 12).await;
    assert_eq!(waiting.await.unwrap().ok(12)["version"], 4);
}

#[tokio::test]
async fn a_read_model_that_stays_behind_says_so() {
    let api = with_products(1).await;
    for path in ["products", "products/unknown", "products/by-sku/sku-1"] {
        let began = Instant::now();
        let headers = [("nakku-min-position", "11"), ("prefer", "wait=0")];
        let answer = api.get_with(path, &headers).await;
        answer.problem(503, "projection-behind");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("11") && detail.contains("10"), "{detail}");
        assert!(began.elapsed() < crate::PATIENCE);
    }
    let malformed = api
        .get_with("products", &[("nakku-min-position", "soon")])
        .await;
    malformed.problem(400, "bad-request");
}

#[tokio::test]
async fn a_generation_of_another_shape_or_none_answers_nothing() {
    let api = Api::start().await;
    let at_once = [("prefer", "wait=0")];
    let answer = api.get_with("products", &at_once).await;
    answer.problem(503, "projection-behind");

    let api = with_products(1).await;
    sqlx::query("update projections set live_shape = 'products-0'")
        .execute(api.pool())
        .await
        .unwrap();
    let answer = api.get_with("products", &at_once).await;
    answer.problem(503, "projection-behind");
}

#[tokio::test]
async fn a_switch_takes_the_next_query_to_the_new_generation() {
    let api = with_products(1).await;
    let rows: Vec<Product> = (1..=3).map(product).collect();
    go_live(api.pool(), products::NAME, Rows::Products(&rows), 15).await;
    let answer = api.get("products").await;
    assert_eq!(answer.each("items", "sku"), ["sku-1", "sku-2", "sku-3"]);
    assert_eq!(answer.header("nakku-position"), "15");
}
