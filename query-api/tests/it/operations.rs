use query_api::QueryApi;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::Api;

#[test]
fn every_route_is_documented_with_its_parameters() {
    let document = serde_json::to_value(query_api::document()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{path}");
            let mut names: Vec<&str> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert!(names.contains(&"Nakku-Min-Position"), "{path}");
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{path} documents a parameter twice");
            operations.push(format!("{method} {path}"));
        }
    }
    operations.sort();
    let expected = [
        "get /analytics/customers",
        "get /analytics/fulfilment-times",
        "get /analytics/low-stock",
        "get /analytics/order-funnel",
        "get /analytics/sales",
        "get /analytics/top-products",
        "get /categories",
        "get /deliveries",
        "get /deliveries/{id}",
        "get /inventory/{store_id}",
        "get /inventory/{store_id}/{sku}",
        "get /orders",
        "get /orders/{id}",
        "get /orders/{id}/events",
        "get /orders/{id}/timeline",
        "get /payments/{id}",
        "get /products",
        "get /products/by-sku/{sku}",
        "get /products/{id}",
        "get /search",
        "get /suggest",
        "get /users/me",
        "get /users/me/notifications",
        "get /users/{id}",
    ];
    assert_eq!(operations, expected);
    let search = &document["paths"]["/search"]["get"]["parameters"];
    let names: Vec<&Value> = search
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    for name in [
        "q",
        "category",
        "brand",
        "price_min",
        "price_max",
        "in_stock_at",
        "sort",
    ] {
        assert!(names.iter().any(|known| **known == name), "{name}");
    }
}

#[tokio::test]
async fn commands_are_not_known_here() {
    let api = Api::start().await;
    let answer = api.get("outbox").await;
    answer.problem(404, "not-found");
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named() {
    let api = Api::start().await;
    let file = api.data.path().join("file");
    std::fs::write(&file, "not a directory").unwrap();
    let opened = QueryApi::open(api.pool().clone(), &file, CancellationToken::new());
    let message = opened.unwrap_err().to_string();
    assert!(message.contains("file"), "{message}");
}
