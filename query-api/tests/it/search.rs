use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use read_models::search::Document;
use serde_json::{Value, json};
use testing::until;

use crate::seed::{at, document, publish_index};
use crate::{Api, PATIENCE, get, walk};

fn catalogue() -> Vec<Document> {
    vec![
        document("ale", "Pale Ale", "Brewer", 250, 5),
        document("milk", "Whole Milk", "Farm", 120, 9),
        document("oat", "Oat Milk", "Mill", 300, 0),
        document("bread", "Dark Bread", "Mill", 400, 2),
    ]
}

/// Searches for everything at position 30, once the index has been found.
async fn with_index() -> (Api, read_models::search::SearchWriter) {
    let api = Api::start().await;
    let writer = publish_index(&api, 1, 1, &catalogue(), 30).await;
    let reader = api.query_api.search_reader().clone();
    until("the index is open", PATIENCE, async || {
        reader.generation() == Some(1)
    })
    .await;
    (api, writer)
}

async fn found(api: &Api, query: &str) -> Vec<String> {
    let answer = api.get(&format!("search?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let skus = answer.each("hits", "sku").into_iter();
    skus.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_answers_hits_counts_and_its_position() {
    let (api, _writer) = with_index().await;
    let mut body = api.get("search?q=bread").await.ok(30);
    assert_eq!(body["position"], 30);
    assert_eq!(body["total"], 1);
    assert!(body["took_ms"].is_u64());
    assert_eq!(body["next_cursor"], Value::Null);
    let hit = body["hits"][0].as_object_mut().unwrap();
    assert!(hit.remove("score").unwrap().is_number());
    let expected = json!({
        "id": "id-bread", "sku": "bread", "name": "Dark Bread", "brand": "Mill",
        "category": ["Food", "Mill"], "price": {"amount_minor": 400, "currency": "EUR"},
        "highlights": {"name": "Dark <em>Bread</em>"},
    });
    assert_eq!(Value::Object(hit.clone()), expected);
    assert_eq!(
        body["facets"]["brand"],
        json!([{"value": "Mill", "count": 1}])
    );
    assert!(body["facets"]["category"].is_array() && body["facets"]["price"].is_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_narrows_and_every_order_holds() {
    let (api, _writer) = with_index().await;
    for (query, skus) in [
        ("", &["bread", "oat", "ale", "milk"][..]),
        ("q=milk&sort=price-asc", &["milk", "oat"]),
        ("q=milk&sort=price-desc", &["oat", "milk"]),
        ("brand=Mill&sort=name", &["bread", "oat"]),
        (
            "brand=Mill&brand=Farm&sort=price-asc",
            &["milk", "oat", "bread"],
        ),
        ("category=Farm", &["milk"]),
        ("category=Food/Brewer", &["ale"]),
        (
            "price_min=250&price_max=300&sort=price-asc",
            &["ale", "oat"],
        ),
        ("q=milk&in_stock_at=store-1", &["milk"]),
        ("in_stock_at=store-9", &[]),
        (
            "brand=&category=&in_stock_at=&sort=price-asc&limit=1",
            &["milk"],
        ),
    ] {
        assert_eq!(found(&api, query).await, skus, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_walked_and_nonsense_is_refused() {
    let (api, _writer) = with_index().await;
    let pages = walk(&api, "search?sort=price-asc&limit=3", "hits", "sku").await;
    assert_eq!(pages, [vec!["milk", "ale", "oat"], vec!["bread"]]);
    let first = api.get("search?limit=1").await;
    let cursor = first.body["next_cursor"].as_str().unwrap().to_owned();
    for wrong in [
        format!("q=milk&cursor={cursor}"),
        "cursor=x".to_owned(),
        "limit=0".to_owned(),
        "limit=201".to_owned(),
        "price_min=-1".to_owned(),
        "price_max=cheap".to_owned(),
        "sort=colour".to_owned(),
        "q=a&q=b".to_owned(),
        format!("q={}", "a".repeat(201)),
    ] {
        let answer = api.get(&format!("search?{wrong}")).await;
        answer.problem(400, "bad-request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_index_searches_are_behind() {
    let api = Api::start().await;
    let answer = api.get_with("search?q=milk", &[("prefer", "wait=0")]).await;
    answer.problem(503, "projection-behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_waits_for_the_commit_it_wants() {
    let (api, mut writer) = with_index().await;
    let behind = [("nakku-min-position", "31"), ("prefer", "wait=0")];
    let answer = api.get_with("search?q=cheese", &behind).await;
    answer.problem(503, "projection-behind");

    let router = api.router.clone();
    let waiting = tokio::spawn(async move {
        let headers = [("nakku-min-position", "31"), ("prefer", "wait=10")];
        get(router, "search?q=cheese", &headers).await
    });
    let cheese = document("cheese", "Old Cheese", "Farm", 700, 1);
    writer.put(cheese).unwrap();
    writer.commit(&at(31)).unwrap();
    api.query_api.search_reader().notify();
    let answer = waiting.await.unwrap();
    assert_eq!(answer.each("hits", "sku"), ["cheese"]);
    answer.ok(31);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_search_fails_while_the_index_is_switched() {
    let (api, _writer) = with_index().await;
    let stop = Arc::new(AtomicBool::new(false));
    let searching = tokio::spawn({
        let (router, stop) = (api.router.clone(), stop.clone());
        async move {
            let mut searches = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = get(router.clone(), "search?q=milk", &[]).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                searches += 1;
            }
            searches
        }
    });
    let mut more = catalogue();
    more.push(document("soy", "Soy Milk", "Mill", 280, 1));
    for (generation, epoch) in [(1, 2), (2, 2), (2, 3), (3, 3)] {
        let position = i64::from(generation) * 10 + 30 + epoch;
        publish_index(&api, generation, epoch, &more, position).await;
        until("the new index answers", PATIENCE, async || {
            let snapshot = api.query_api.search_reader().snapshot();
            snapshot.unwrap().position() == position
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    assert!(searching.await.unwrap() > 0);
    let answer = api.get("search?q=milk&sort=price-asc").await;
    assert_eq!(answer.each("hits", "sku"), ["milk", "soy", "oat"]);
}
