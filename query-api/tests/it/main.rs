//! Every query over HTTP, its rows written as the projections write them.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod analytics;
mod deliveries;
mod inventory;
mod known_versions;
mod notifications;
mod operations;
mod order_events;
mod orders;
mod payments;
mod products;
mod search;
mod seed;
mod timeline;
mod users;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use chrono::Utc;
use http_server::token::{TOKEN_LIFETIME, generate_key};
use http_server::{EdgeConfig, Role, Signer, Verifier};
use query_api::QueryApi;
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

/// Long enough for a busy machine; whatever waits ends much sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// The role's routes behind its edge, over a database and a data directory of their own.
struct Api {
    database: testing::Database,
    data: TempDir,
    query_api: QueryApi,
    router: Router,
    signer: Signer,
    _shutdown: DropGuard,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    async fn start() -> Self {
        let database = testing::database().await;
        let data = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let query_api =
            QueryApi::open(database.pool.clone(), data.path(), shutdown.clone()).unwrap();
        let (routes, _) = http_server::openapi::split(query_api.router());
        let signer = Signer::new("k1", &generate_key()).unwrap();
        let config = EdgeConfig {
            verifier: Some(Verifier::new([signer.public_key().clone()])),
            ..EdgeConfig::default()
        };
        let router = http_server::edge(Router::new().nest("/api/v1", routes), config);
        Api {
            database,
            data,
            query_api,
            router,
            signer,
            _shutdown: shutdown.drop_guard(),
        }
    }

    fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// The value of `Authorization` of a user.
    fn bearer(&self, user_id: &str, role: Role) -> String {
        let token = self.signer.sign(user_id, role, TOKEN_LIFETIME, Utc::now());
        format!("Bearer {token}")
    }

    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        get(self.router.clone(), path, headers).await
    }
}

async fn get(router: Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(router, Method::GET, path, headers).await
}

async fn ask(router: Router, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        },
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// Asserts success at a position, and returns the body.
    #[track_caller]
    fn ok(self, position: i64) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.header("nakku-position"), position.to_string());
        self.body
    }

    #[track_caller]
    fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["code"], code);
        if status == 503 {
            assert!(self.headers.contains_key("retry-after"));
        }
    }

    /// What `key` says of each item.
    fn each<'a>(&'a self, list: &str, key: &str) -> Vec<&'a str> {
        let items = self.body[list].as_array().unwrap();
        items
            .iter()
            .map(|item| item[key].as_str().unwrap())
            .collect()
    }
}

/// Follows `next_cursor` from the first page to the last; what `key` says of each item.
async fn walk(api: &Api, path: &str, list: &str, key: &str) -> Vec<Vec<String>> {
    walk_with(api, path, &[], list, key).await
}

async fn walk_with(
    api: &Api,
    path: &str,
    headers: &[(&str, &str)],
    list: &str,
    key: &str,
) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer = api.get_with(&format!("{path}{cursor}"), headers).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let items = answer.each(list, key).into_iter().map(str::to_owned);
        pages.push(items.collect());
        match &answer.body["next_cursor"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            end => {
                assert_eq!(*end, Value::Null);
                return pages;
            }
        }
    }
}
