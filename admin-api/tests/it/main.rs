//! The operators' routes over HTTP, on a log that commands have written.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod correlations;
mod dead_letters;
mod events;
mod operations;
mod projections;
mod sagas;
mod seed;
mod streams;
mod tail;

use std::time::Duration;

use admin_api::AdminApi;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use chrono::Utc;
use domain::fulfilment::Patience;
use eventstore::EventStore;
use http_server::token::{TOKEN_LIFETIME, generate_key};
use http_server::{EdgeConfig, Role, Signer, Verifier};
use serde_json::Value;
use sqlx::PgPool;
use tower::ServiceExt as _;

/// Long enough for a busy machine; whatever waits ends much sooner.
const PATIENCE: Duration = Duration::from_secs(20);

/// The role's routes behind its edge, over a log of its own.
struct Api {
    database: testing::Database,
    store: EventStore,
    router: Router,
    signer: Signer,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Api {
    async fn start() -> Self {
        let database = testing::database().await;
        let store = seed::open(&database.pool).await;
        let api = AdminApi::new(store.clone(), Patience::default());
        let (routes, _) = http_server::openapi::split(api.router());
        let signer = Signer::new("k1", &generate_key()).unwrap();
        let config = EdgeConfig {
            verifier: Some(Verifier::new([signer.public_key().clone()])),
            ..EdgeConfig::default()
        };
        let router = http_server::edge(Router::new().nest("/api/v1", routes), config);
        Api {
            database,
            store,
            router,
            signer,
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

    /// Asks as an administrator.
    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], None).await
    }

    async fn post(&self, path: &str, body: Option<Value>) -> Answer {
        self.ask(Method::POST, path, &[], body).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let admin = self.bearer("u-admin", Role::Admin);
        let mut with_token = vec![("authorization", admin.as_str())];
        with_token.extend(headers);
        let response = self.send(method, path, &with_token, body).await;
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap(),
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1/admin/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.router.clone().oneshot(request.unwrap()).await.unwrap()
    }
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    #[track_caller]
    fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    #[track_caller]
    fn problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["code"], code);
    }
}

/// What `key` says of each item of a list.
fn each<'a>(body: &'a Value, key: &str) -> Vec<&'a Value> {
    let items = body["items"].as_array().unwrap();
    items.iter().map(|item| &item[key]).collect()
}
