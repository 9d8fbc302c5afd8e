//! The API as a process hosts it, called in process.

use std::collections::HashMap;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use chrono::Utc;
use command_api::{API_PREFIX, CommandApi, Context};
use eventstore::{EventStore, Keys, Options, RecordedEvent};
use http_server::token::{TOKEN_LIFETIME, generate_key};
use http_server::{EdgeConfig, Role, ServiceToken, Signer, Verifier, edge};
use serde_json::{Value, json};
use tower::ServiceExt;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

pub const PASSWORD: &str = "correct horse battery";
/// What services know each other by.
pub const SERVICE_TOKEN: &str = "a secret of all services";

pub struct TestApp {
    pub database: testing::Database,
    pub store: EventStore,
    pub router: Router,
    pub verifier: Verifier,
    signer: Signer,
}

/// Somebody with a token, registered or not.
#[derive(Clone)]
pub struct Person {
    pub id: String,
    pub token: String,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::start_with(|api| api).await
    }

    /// One that knows more, or other services.
    pub async fn start_with(configure: impl FnOnce(CommandApi) -> CommandApi) -> Self {
        Self::start_as(configure, Some(ServiceToken::new(SERVICE_TOKEN))).await
    }

    pub async fn without_service_token() -> Self {
        Self::start_as(|api| api, None).await
    }

    async fn start_as(
        configure: impl FnOnce(CommandApi) -> CommandApi,
        service_token: Option<ServiceToken>,
    ) -> Self {
        let database = testing::database().await;
        let options = Options {
            keys: Keys {
                master: [7; 64],
                pepper: [9; 32],
            },
            upcasters: domain::upcasters(),
            snapshot_shapes: HashMap::new(),
        };
        let store = EventStore::open(database.pool.clone(), options)
            .await
            .unwrap();
        let signer = Signer::new("test", &generate_key()).unwrap();
        let verifier = Verifier::new([signer.public_key().clone()]);
        let api = configure(CommandApi::new(store.clone(), signer.clone()));
        let router = router(&api, &verifier, service_token);
        Self {
            database,
            store,
            router,
            verifier,
            signer,
        }
    }

    /// The same API as another process has it: another committer on the same database.
    pub async fn beside(&self) -> Router {
        let options = Options {
            keys: Keys {
                master: [7; 64],
                pepper: [9; 32],
            },
            upcasters: domain::upcasters(),
            snapshot_shapes: HashMap::new(),
        };
        let store = EventStore::open(self.database.pool.clone(), options)
            .await
            .unwrap();
        let api = CommandApi::new(store, self.signer.clone());
        router(&api, &self.verifier, None)
    }

    pub fn person(&self, role: Role) -> Person {
        self.person_of(&Uuid::now_v7().to_string(), role)
    }

    pub fn person_of(&self, id: &str, role: Role) -> Person {
        Person {
            id: id.to_owned(),
            token: self.signer.sign(id, role, TOKEN_LIFETIME, Utc::now()),
        }
    }

    pub fn post(&self, path: &str) -> Call {
        call(&self.router, Method::POST, &format!("{API_PREFIX}{path}"))
    }

    pub fn put(&self, path: &str) -> Call {
        call(&self.router, Method::PUT, &format!("{API_PREFIX}{path}"))
    }

    pub fn get(&self, path: &str) -> Call {
        call(&self.router, Method::GET, path)
    }

    /// Registers a customer.
    pub async fn customer(&self, email: &str) -> Person {
        let answer = self
            .post("/users/register")
            .json(&registration(email))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        self.person_of(answer.body["id"].as_str().unwrap(), Role::Customer)
    }

    pub async fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/users/login")
            .json(&json!({"email": email, "password": password}))
            .await
    }

    pub async fn events(&self) -> Vec<RecordedEvent> {
        self.store.read_after(0, 1_000).await.unwrap()
    }

    pub async fn event_types(&self) -> Vec<String> {
        self.events()
            .await
            .into_iter()
            .map(|event| event.event_type)
            .collect()
    }

    pub async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(&format!("select count(*) from {table}"))
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }
}

fn router(api: &CommandApi, verifier: &Verifier, service_token: Option<ServiceToken>) -> Router {
    let routes = OpenApiRouter::new()
        .nest(API_PREFIX, command_api::router(api.clone(), Context::ALL))
        .merge(command_api::well_known(api.clone()))
        .merge(command_api::internal(api.clone(), Context::ALL));
    let (router, _) = http_server::openapi::split(routes);
    let config = EdgeConfig {
        verifier: Some(verifier.clone()),
        streamed: command_api::STREAMED_ROUTES,
        service_token,
        ..EdgeConfig::default()
    };
    edge(router, config)
}

/// Wrong passwords that one account may be tried with since a moment, at the most: twenty, and one that was forgotten for each
/// ten seconds.
pub fn guesses_max(since: Instant) -> u64 {
    21 + since.elapsed().as_secs() / 10
}

pub fn registration(email: &str) -> Value {
    json!({"email": email, "password": PASSWORD, "name": "Ada Lovelace", "phone": "+49 30 123456"})
}

pub fn call(router: &Router, method: Method, path: &str) -> Call {
    Call {
        router: router.clone(),
        request: Request::builder().method(method).uri(path),
    }
}

pub struct Call {
    router: Router,
    request: axum::http::request::Builder,
}

impl Call {
    pub fn by(self, person: &Person) -> Self {
        self.header("authorization", &format!("Bearer {}", person.token))
    }

    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub async fn json(self, body: &Value) -> Answer {
        let request = self.request.header("content-type", "application/json");
        send(
            self.router,
            request.body(Body::from(body.to_string())).unwrap(),
        )
        .await
    }

    /// A catalogue, as it comes.
    pub async fn ndjson(self, body: impl Into<Body>) -> Answer {
        let request = self.request.header("content-type", "application/x-ndjson");
        send(self.router, request.body(body.into()).unwrap()).await
    }

    pub async fn empty(self) -> Answer {
        send(self.router, self.request.body(Body::empty()).unwrap()).await
    }
}

async fn send(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self
    }

    /// That it is a problem of this status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status.as_u16(), &self.body["code"]),
            (status, &json!(code)),
            "{}",
            self.body
        );
        assert_eq!(self.body["type"], format!("/problems/{code}"));
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self
    }

    /// Where the wrong members are, in alphabetical order.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap();
        let mut pointers: Vec<_> = errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap())
            .collect();
        pointers.sort_unstable();
        pointers
    }

    pub fn is_replayed(&self) -> bool {
        self.headers.contains_key("idempotent-replayed")
    }

    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap()
    }

    pub fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap().to_owned()
    }
}
