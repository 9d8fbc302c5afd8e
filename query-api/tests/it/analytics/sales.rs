//! What was sold, and what was given back.

use read_models::analytics::orders::Order;
use serde_json::{Value, json};

use super::seed::{completed, empty, order, put, refund, with_orders};
use super::{NOVEMBER, POSITION, ask, eur};

#[tokio::test]
async fn sales_by_hour_and_by_day() {
    let api = with_orders().await;
    let bucket = |from: &str, [placed, completed, cancelled]: [i64; 3], revenue| {
        json!({
            "from": from, "placed": placed, "completed": completed, "cancelled": cancelled,
            "returned": 0, "refunded": 0, "revenue": eur(revenue), "items": revenue * 3 / 500,
        })
    };
    let hours = ask(&api, "sales?from=2026-11-20T09:30:00Z&to=2026-11-22").await;
    let expected = json!({
        "position": POSITION, "granularity": "hour", "from": "2026-11-20T09:00:00Z", "to": "2026-11-22T00:00:00Z",
        "items": [
            bucket("2026-11-20T09:00:00Z", [1, 0, 0], 0),
            bucket("2026-11-20T10:00:00Z", [1, 1, 1], 500),
            bucket("2026-11-20T11:00:00Z", [1, 0, 0], 0),
            bucket("2026-11-21T23:00:00Z", [1, 1, 0], 500),
        ],
    });
    assert_eq!(hours.ok(POSITION), expected);
    let days = ask(
        &api,
        &format!("sales?granularity=day&{NOVEMBER}&store_id=store-1"),
    )
    .await;
    let expected = json!([bucket("2026-11-20T00:00:00Z", [3, 1, 1], 500)]);
    assert_eq!(days.ok(POSITION)["items"], expected);
}

#[tokio::test]
async fn money_is_taken_from_the_hour_in_which_it_was_given_back() {
    let (api, generation) = empty().await;
    let bought = completed(order("o-1", "store-1", "2026-11-20T10:00:00Z"), 4);
    let kept = completed(order("o-2", "store-1", "2026-11-20T10:30:00Z"), 4);
    let called_off = order("o-3", "store-1", "2026-11-20T10:40:00Z");
    put(
        &api,
        generation,
        &[bought.clone(), kept, called_off.clone()],
    )
    .await;
    refund(
        &api,
        generation,
        &[&bought, &called_off],
        "2026-11-20T12:15:00Z",
    )
    .await;
    let hours = ask(&api, "sales?from=2026-11-20&to=2026-11-21").await;
    let hours = hours.ok(POSITION);
    let refunds = |hour: &Value| (hour["refunded"].clone(), hour["revenue"].clone());
    let hours = hours["items"].as_array().unwrap().iter().map(refunds);
    let expected = [(json!(0), eur(1_000)), (json!(1), eur(-500))];
    assert_eq!(hours.collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn sums_that_no_number_holds_are_the_largest_there_is() {
    let (api, generation) = empty().await;
    let dear = |id| Order {
        amount_minor: i64::MAX,
        ..completed(order(id, "store-1", "2026-11-20T10:00:00Z"), 4)
    };
    put(&api, generation, &[dear("o-1"), dear("o-2")]).await;
    let sales = ask(&api, "sales?from=2026-11-20&to=2026-11-21").await;
    assert_eq!(sales.ok(POSITION)["items"][0]["revenue"], eur(i64::MAX));
}

#[tokio::test]
async fn the_products_that_were_bought_most() {
    let api = with_orders().await;
    let product = |sku: &str, orders: i64, items: i64, revenue| {
        let name = format!("Product {sku}");
        json!({"sku": sku, "name": name, "orders": orders, "items": items, "revenue": eur(revenue)})
    };
    let top = ask(&api, &format!("top-products?{NOVEMBER}")).await;
    let expected = json!({
        "position": POSITION, "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z",
        "by_items": [product("apple", 2, 4, 400), product("wine", 2, 2, 600)],
        "by_revenue": [product("wine", 2, 2, 600), product("apple", 2, 4, 400)],
    });
    assert_eq!(top.ok(POSITION), expected);
    let one = "top-products?limit=1&from=2026-11-20T12:00:00Z&to=2026-11-20T13:00:00Z";
    let one = ask(&api, one).await.ok(POSITION);
    assert_eq!(one["from"], "2026-11-20T00:00:00Z");
    assert_eq!(one["by_items"], json!([product("apple", 1, 2, 200)]));
    assert_eq!(one["by_revenue"], json!([product("wine", 1, 1, 300)]));
}
