use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use read_models::search::Document;
use serde_json::{Value, json};
use testing::until;

use crate::seed::{at, document, publish_index};
use crate::{Answer, Api, PATIENCE, get, walk};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_completed_and_what_is_misspelt_corrected() {
    let (api, _writer) = with_index().await;
    let body = api.get("suggest?q=mi").await.ok(30);
    assert_eq!(
        body["completions"],
        json!([
            {"kind": "words", "text": "milk", "highlight": "<em>milk</em>", "count": 2},
            {"kind": "words", "text": "mill", "highlight": "<em>mill</em>", "count": 2},
            {"kind": "category", "text": "Food/Mill", "highlight": "Food/<em>Mill</em>", "count": 2},
            {"kind": "brand", "text": "Mill", "highlight": "<em>Mill</em>", "count": 2},
            {"kind": "product", "text": "Oat Milk", "highlight": "Oat <em>Milk</em>", "count": 1},
            {"kind": "product", "text": "Whole Milk", "highlight": "Whole <em>Milk</em>", "count": 1},
        ])
    );
    assert_eq!(body["corrections"], json!([]));
    assert_eq!(body["position"], 30);
    let body = api.get("suggest?q=brad").await.ok(30);
    assert_eq!(body["completions"], json!([]));
    assert_eq!(body["corrections"], json!([{"text": "bread", "count": 1}]));
    let body = api.get("suggest?q=mi&limit=1").await.ok(30);
    assert_eq!(body["completions"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("suggest").await.ok(30)["completions"], json!([]));
    for wrong in ["q=a&limit=0", "q=a&limit=21", "q=a&limit=x", "q=a&q=b"] {
        let answer = api.get(&format!("suggest?{wrong}")).await;
        answer.problem(400, "bad-request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_are_a_tree_with_counts() {
    let (api, _writer) = with_index().await;
    let body = api.get("categories").await.ok(30);
    let leaf = |name: &str, count: u64| json!({"name": name, "path": format!("Food/{name}"), "count": count, "children": []});
    let food = json!({"name": "Food", "path": "Food", "count": 4,
        "children": [leaf("Brewer", 1), leaf("Farm", 1), leaf("Mill", 2)]});
    assert_eq!(body, json!({"items": [food], "position": 30}));
}

#[tokio::test(flavor = "multi_thread")]
async fn suggestions_and_categories_wait_for_the_commit_they_want() {
    let (api, mut writer) = with_index().await;
    for path in ["suggest?q=che", "categories"] {
        let behind = [("nakku-min-position", "31"), ("prefer", "wait=0")];
        api.get_with(path, &behind)
            .await
            .problem(503, "projection-behind");
    }
    let cheese = document("cheese", "Old Cheese", "Dairy", 700, 1);
    writer.put(cheese).unwrap();
    writer.commit(&at(31)).unwrap();
    let wanted = [("nakku-min-position", "31"), ("prefer", "wait=10")];
    let body = api.get_with("suggest?q=che", &wanted).await.ok(31);
    assert_eq!(body["completions"][0]["text"], "cheese");
    let body = api.get_with("categories", &wanted).await.ok(31);
    assert_eq!(body["items"][0]["count"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_any_text_are_answered_or_refused_with_the_limit() {
    let (api, _writer) = with_index().await;
    for (q, refused) in [
        ("AND%20OR%20NOT", None),
        ("%22unclosed%20(%5B%7B", None),
        ("name%3Amilk%20%2B-%21%7E%5E", None),
        ("%2F.%2A%2F", None),
        ("%28a%2B%29%2B%24", None),
        ("%F0%9F%98%80%F0%9F%A5%9B", None),
        ("%E7%89%9B%E5%A5%B6", None),
        ("%D8%AD%D9%84%D9%8A%D8%A8", None),
        ("%FF%FE", None),
        ("%25%5C%27%3B--", None),
        ("%3Cscript%3E", None),
        (&"a".repeat(200), None),
        (&"milkk%20".repeat(34), Some("q: at most 200 characters")),
        (&"a%20".repeat(33), Some("q: at most 32 words")),
        (&"x".repeat(10 * 1_024), Some("q: at most 200 characters")),
        (&"%E7%89%9B".repeat(33), Some("q: at most 32 words")),
    ] {
        for route in ["search", "suggest"] {
            let answer = api.get(&format!("{route}?q={q}")).await;
            match refused {
                None => drop(answer.ok(30)),
                Some(limit) => {
                    answer.problem(400, "bad-request");
                    assert_eq!(answer.body["detail"], limit);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_on_after_commits_and_in_another_generation() {
    let (api, mut writer) = with_index().await;
    let first = api.get("search?sort=price-asc&limit=1").await;
    assert_eq!(first.each("hits", "sku"), ["milk"]);
    let follow = |answer: &Answer| {
        let cursor = answer.body["next_cursor"].as_str().unwrap();
        format!("search?sort=price-asc&limit=1&cursor={cursor}")
    };
    // One comes before what was seen, and moves nothing.
    writer.put(document("gum", "Gum", "Mill", 10, 1)).unwrap();
    writer.commit(&at(31)).unwrap();
    let wanted = [("nakku-min-position", "31"), ("prefer", "wait=10")];
    let second = api.get_with(&follow(&first), &wanted).await;
    assert_eq!(second.each("hits", "sku"), ["ale"]);
    let mut other: Vec<Document> = catalogue();
    other.reverse();
    publish_index(&api, 2, 2, &other, 32).await;
    let wanted = [("nakku-min-position", "32"), ("prefer", "wait=10")];
    let third = api.get_with(&follow(&second), &wanted).await;
    assert_eq!(third.each("hits", "sku"), ["oat"]);
    let last = api.get(&follow(&third)).await;
    assert_eq!(last.each("hits", "sku"), ["bread"]);
    assert_eq!(last.body["next_cursor"], Value::Null);
}
