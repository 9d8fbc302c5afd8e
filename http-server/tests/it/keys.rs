//! Tokens at a door that fetches the keys to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use chrono::Utc;
use http_server::token::{TOKEN_LIFETIME, generate_key};
use http_server::{Caller, EdgeConfig, OptionalCaller, Role, Signer, Verifier};

use crate::{Running, problem};

async fn start(verifier: Verifier) -> Running {
    let open = async |OptionalCaller(caller): OptionalCaller| caller.is_some().to_string();
    let router = Router::new()
        .route("/open", get(open))
        .route("/guarded", get(async |caller: Caller| caller.user_id))
        .route("/unguarded", get(async || "public"));
    let config = EdgeConfig {
        verifier: Some(verifier),
        ..EdgeConfig::default()
    };
    Running::start(router, config).await
}

async fn ask(server: &Running, path: &str, token: &str) -> reqwest::Response {
    let request = reqwest::Client::new().get(server.url(path));
    request.bearer_auth(token).send().await.unwrap()
}

#[tokio::test]
async fn a_token_that_cannot_be_judged_is_not_called_wrong() {
    let signer = Signer::new("k1", &generate_key()).unwrap();
    let token = signer.sign("u1", Role::Customer, TOKEN_LIFETIME, Utc::now());
    let nobody = Verifier::fetched(async || Err("connection refused".to_owned()));
    let server = start(nobody).await;
    for path in ["/open", "/guarded"] {
        let answer = ask(&server, path, &token).await;
        let wait: u64 = answer.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=10).contains(&wait), "{wait}");
        assert!(!answer.headers().contains_key("www-authenticate"));
        problem(answer, 503, "service-unreachable").await;
        // Whose form is wrong needs no key.
        problem(ask(&server, path, "garbage").await, 401, "unauthenticated").await;
    }
    assert_eq!(ask(&server, "/unguarded", &token).await.status(), 200);
    assert_eq!(server.get("/open").await.text().await.unwrap(), "false");
    problem(server.get("/guarded").await, 401, "unauthenticated").await;
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_their_tokens() {
    let signer = Signer::new("k1", &generate_key()).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (key, count) = (signer.public_key().clone(), Arc::clone(&asked));
    let server = start(Verifier::fetched(move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(Ok(vec![key.clone()]))
    }))
    .await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    for user in ["u1", "u2"] {
        let token = signer.sign(user, Role::Customer, TOKEN_LIFETIME, Utc::now());
        let answer = ask(&server, "/guarded", &token).await;
        assert_eq!(answer.text().await.unwrap(), user);
    }
    let stranger = Signer::new("k2", &generate_key()).unwrap();
    let token = stranger.sign("u1", Role::Admin, TOKEN_LIFETIME, Utc::now());
    problem(
        ask(&server, "/guarded", &token).await,
        401,
        "unauthenticated",
    )
    .await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
