use read_models::stock;
use serde_json::json;

use crate::seed::{Rows, go_live, pieces};
use crate::{Api, walk};

async fn with_stock() -> Api {
    let api = Api::start().await;
    let skus = ["A", "B", "C", "d"];
    let mut rows: Vec<_> = skus.iter().map(|sku| pieces("store-1", sku)).collect();
    rows.push(pieces("store-2", "A"));
    go_live(api.pool(), stock::NAME, Rows::Stock(&rows), 20).await;
    api
}

#[tokio::test]
async fn the_stock_of_one_sku() {
    let api = with_stock().await;
    let answer = api.get("inventory/store-2/A").await;
    assert_eq!(answer.header("etag"), "\"2\"");
    let expected = json!({
        "store_id": "store-2", "sku": "A", "on_hand": 10, "reserved": 3, "available": 7,
        "version": 2,
    });
    assert_eq!(answer.ok(20), expected);
    for path in ["inventory/store-2/B", "inventory/store-9/A"] {
        api.get(path).await.problem(404, "not-found");
    }
    let known = [("if-none-match", "\"2\"")];
    let answer = api.get_with("inventory/store-2/A", &known).await;
    assert_eq!(answer.status, 304);
}

#[tokio::test]
async fn the_stock_of_a_store_is_walked_by_sku() {
    let api = with_stock().await;
    let pages = walk(&api, "inventory/store-1?limit=3", "items", "sku").await;
    assert_eq!(pages, [vec!["A", "B", "C"], vec!["d"]]);
    let unknown = api.get("inventory/store-9").await.ok(20);
    assert_eq!(unknown, json!({"items": [], "next_cursor": null}));
}

#[tokio::test]
async fn stock_that_is_behind_says_so() {
    let api = with_stock().await;
    let headers = [("nakku-min-position", "21"), ("prefer", "wait=0")];
    for path in ["inventory/store-1", "inventory/store-1/A"] {
        let answer = api.get_with(path, &headers).await;
        answer.problem(503, "projection-behind");
    }
}
