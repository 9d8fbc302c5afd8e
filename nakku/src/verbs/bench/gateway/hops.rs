//! Two hops whose end fails: the gateway asks for an order, its service asks for the user. Repetitions of repetitions would
//! keep down what is down.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::try_join_all;
use http_client::{Call, ServiceUrl};
use http_server::ServerLimits;
use http_server::headers::IDEMPOTENCY_KEY;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::Pace;
use super::backend::Backend;
use super::child::Process;
use super::exposition::Metrics;
use super::load::{self, Schedule};
use super::row::{Goal, Row};
use super::shop::{Shop, addresses, listed};

const DEAD: Goal = Goal {
    scenario: "two hops",
    measured: "attempts a call, the end dead",
    unit: "attempts",
    at_most: 1.1,
};
const REFUSING: Goal = Goal {
    measured: "attempts a call, the end answers 503",
    ..DEAD
};

/// Of each service: a repetition goes to another one.
const INSTANCES: usize = 3;
/// Counted by whoever makes them.
const ATTEMPTS: &str = "nakku_upstream_attempts_total";

pub(super) async fn measure(shop: &Shop, pace: Pace) -> anyhow::Result<Vec<Row>> {
    let router = users(shop);
    let users = || Backend::start(router.clone(), ServerLimits::default());
    let users = try_join_all((0..INSTANCES).map(|_| users())).await?;
    let user_service = listed(users.iter().map(Backend::url));
    let settings = shop.settings.with("USER_SERVICE_URL", &user_service);
    let start = || shop.start(&["command-api", "--contexts", "orders"], &settings);
    let orders = try_join_all((0..INSTANCES).map(|_| start())).await?;
    let settings = shop
        .gateway_settings()
        .with("USER_SERVICE_URL", &user_service)
        .with("ORDER_SERVICE_URL", addresses(&orders));
    let gateway = shop.start(&["gateway"], &settings).await?;

    let mut path = Path {
        gateway: gateway.url().clone(),
        orders: orders.iter().map(|one| one.url().clone()).collect(),
    };
    let refusing = path.attempts_per_call(shop, pace).await?;
    for backend in users {
        backend.stop().await?;
    }
    let dead = path.attempts_per_call(shop, pace).await?;
    for process in orders.into_iter().chain([gateway]) {
        Process::stop(process).await?;
    }
    Ok(vec![
        REFUSING.beside(refusing.worst(), refusing.told()),
        DEAD.beside(dead.worst(), dead.told()),
    ])
}

/// A user service that can do nothing but say who signs tokens.
fn users(shop: &Shop) -> Router {
    let jwks = shop.jwks.clone();
    let refusal = || async {
        let problem = json!({"title": "down", "status": 503, "code": "unavailable"});
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let body = problem.to_string();
        (StatusCode::SERVICE_UNAVAILABLE, content_type, body).into_response()
    };
    Router::new()
        .route("/.well-known/jwks.json", get(async move || Json(jwks)))
        .route("/internal/users/{id}", get(refusal))
}

/// The processes that a call comes through.
struct Path {
    gateway: ServiceUrl,
    orders: Vec<ServiceUrl>,
}

/// Of some calls.
struct Attempts {
    calls: f64,
    first_hop: f64,
    second_hop: f64,
    took: Duration,
    /// Of answers that are not a refusal.
    others: Option<String>,
}

impl Path {
    async fn attempts_per_call(&mut self, shop: &Shop, pace: Pace) -> anyhow::Result<Attempts> {
        let client = load::client(&self.gateway)?;
        let before = self.count().await?;
        let begin = Instant::now();
        let schedule = Schedule::new(begin, pace.rate, pace.phase);
        let is_refused = |status| status == StatusCode::SERVICE_UNAVAILABLE;
        let samples = load::run(&client, schedule, is_refused, |_| place(shop)).await;
        let took = begin.elapsed();
        let after = self.count().await?;
        let (_, first) = load::failures(&samples);
        Ok(Attempts {
            calls: f64::from(schedule.count),
            first_hop: after.0 - before.0,
            second_hop: after.1 - before.1,
            took,
            others: first.map(str::to_owned),
        })
    }

    /// Attempts at orders, and at users for them, so far.
    async fn count(&self) -> anyhow::Result<(f64, f64)> {
        let at_orders = Metrics::of(&self.gateway).await?;
        let mut at_users = 0.0;
        for url in &self.orders {
            at_users += Metrics::of(url).await?.sum(ATTEMPTS, ("upstream", "users"));
        }
        Ok((at_orders.sum(ATTEMPTS, ("upstream", "orders")), at_users))
    }
}

impl Attempts {
    fn worst(&self) -> f64 {
        self.first_hop.max(self.second_hop) / self.calls
    }

    fn told(&self) -> String {
        let others = self.others.as_ref();
        let others = others.map(|first| format!("; not all are told so: {first}"));
        format!(
            "{} calls within {:.1?}: {} attempts of the first hop, {} of the second{}",
            self.calls,
            self.took,
            self.first_hop,
            self.second_hop,
            others.unwrap_or_default()
        )
    }
}

fn place(shop: &Shop) -> Call {
    Call::post("/api/v1/orders")
        .bearer(&shop.customer)
        .header(IDEMPOTENCY_KEY, Uuid::now_v7().to_string())
        .json(&json!({
            "store_id": "store-1", "items": [{"sku": "BENCH-0", "quantity": 1}], "payment": {"token": "tok_ok"},
        }))
}
