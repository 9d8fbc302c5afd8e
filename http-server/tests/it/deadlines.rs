//! Deadlines that callers bring.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use http_server::{Arrival, Ctx, EdgeConfig, Json, MinPosition};
use serde_json::{Value, json};

use crate::{Running, problem, within};

/// The deadlines that a handler sees, in ms from now.
async fn told(arrival: Arrival, context: Ctx, min: MinPosition) -> Json<Value> {
    let now = Instant::now();
    let left = |deadline: Instant| {
        u64::try_from(deadline.saturating_duration_since(now).as_millis()).unwrap()
    };
    Json(json!({
        "whole": left(arrival.deadline()),
        "command": left(context.deadline),
        "query": left(min.deadline),
        "wait": context.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap()),
        "asked_to_wait": arrival.wait().map(|wait| wait.as_secs()),
        "is_shortened": arrival.is_shortened(),
    }))
}

struct Shop {
    server: Running,
    begun: Arc<AtomicUsize>,
}

impl Shop {
    async fn open() -> Self {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let begin = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>()
        };
        let router = Router::new()
            .route("/told", get(told))
            .route("/begin", get(begin.clone()).post(begin));
        Shop {
            server: Running::start(router, EdgeConfig::default()).await,
            begun,
        }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let method = method.parse().unwrap();
        let mut request = reqwest::Client::new().request(method, self.server.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        within(request.send()).await.unwrap()
    }
}

#[tokio::test]
async fn nothing_is_begun_for_a_caller_whose_time_is_up() {
    let shop = Shop::open().await;
    for method in ["GET", "POST"] {
        let answer = shop
            .ask(method, "/begin", &[("nakku-timeout-ms", "0")])
            .await;
        assert!(answer.headers().contains_key("retry-after"));
        let refused = problem(answer, 503, "overloaded").await;
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("caller's time was up"), "{detail}");
        assert!(detail.contains("nothing was done"), "{detail}");
    }
    assert_eq!(shop.begun(), 0);
}

#[tokio::test]
async fn a_caller_is_not_kept_waiting_longer_than_it_waits() {
    let shop = Shop::open().await;
    let began = Instant::now();
    let short = [("nakku-timeout-ms", "1000"), ("prefer", "wait=20")];
    let (read, written) = tokio::join!(
        shop.ask("GET", "/begin", &short),
        shop.ask("POST", "/begin", &short)
    );
    // Of the 30 s that they had got otherwise.
    assert!(began.elapsed() < Duration::from_secs(10));
    problem(read, 503, "overloaded").await;
    problem(written, 503, "outcome-unknown").await;
    assert_eq!(shop.begun(), 2);
}

#[tokio::test]
async fn a_handler_is_told_what_is_left() {
    let shop = Shop::open().await;
    let told = async |headers: &[(&str, &str)]| -> Value {
        let answer = shop.ask("GET", "/told", headers).await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    };
    let at_most = |told: &Value, name: &str, most: u64| {
        let left = told[name].as_u64().unwrap();
        assert!(left <= most, "{name}: {told}");
    };
    let usual = told(&[("prefer", "wait=5")]).await;
    assert_eq!(usual["is_shortened"], false);
    assert_eq!(usual["wait"], 5_000);
    assert!(usual["whole"].as_u64().unwrap() > 10_000, "{usual}");

    let short = told(&[("prefer", "wait=5"), ("nakku-timeout-ms", "4000")]).await;
    assert_eq!(short["is_shortened"], true);
    assert_eq!(
        (&short["wait"], &short["asked_to_wait"]),
        (&json!(3_500), &json!(5))
    );
    at_most(&short, "whole", 4_000);
    at_most(&short, "command", 3_500);
    at_most(&short, "query", 3_500);
    let long = told(&[("nakku-timeout-ms", "3600000")]).await;
    assert_eq!(long["is_shortened"], false);
    at_most(&long, "whole", 10_000);
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_refused() {
    let shop = Shop::open().await;
    let twice = [("nakku-timeout-ms", "1000"), ("nakku-timeout-ms", "1000")];
    for wrong in [
        &[("nakku-timeout-ms", "soon")][..],
        &[("nakku-timeout-ms", "-1")],
        &[("nakku-timeout-ms", "1.5")],
        &[("nakku-timeout-ms", "")],
        &twice,
    ] {
        problem(shop.ask("GET", "/told", wrong).await, 400, "bad-request").await;
    }
}
