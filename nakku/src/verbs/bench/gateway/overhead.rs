//! What the gateway adds: the same small answer, fetched directly and through it, in turns.

use std::time::Duration;

use anyhow::bail;
use axum::routing::get;
use axum::{Json, Router};
use http_client::{Call, Upstream};
use http_server::ServerLimits;
use serde_json::json;
use tokio::time::Instant;

use super::Pace;
use super::backend::Backend;
use super::load;
use super::row::{Goal, Row};
use super::shop::Shop;

const ADDED: Goal = Goal {
    scenario: "overhead",
    measured: "p50 beyond that of a direct call",
    unit: "ms",
    at_most: 0.3,
};

/// A public query.
const PATH: &str = "/api/v1/categories";
/// Requests of a turn, one after the other: many enough for a core that slept to be awake.
const TURN: usize = 100;

pub(super) async fn measure(shop: &Shop, pace: Pace) -> anyhow::Result<Row> {
    let answer = json!({"items": [{"name": "Drinks", "count": 12, "children": []}], "position": 7});
    let router = Router::new().route(PATH, get(async move || Json(answer)));
    let backend = Backend::start(router, ServerLimits::default()).await?;
    let settings = shop
        .gateway_settings()
        .with("QUERY_SERVICE_URL", backend.url().to_string());
    let gateway = shop.start(&["gateway"], &settings).await?;
    let directly = load::client(backend.url())?;
    let through = load::client(gateway.url())?;
    // Connections are opened and code is paged in.
    turn(&directly).await?;
    turn(&through).await?;
    let (mut direct, mut forwarded) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    while begin.elapsed() < pace.phase || direct.is_empty() {
        direct.extend(turn(&directly).await?);
        forwarded.extend(turn(&through).await?);
    }
    gateway.stop().await?;
    backend.stop().await?;
    let requests = direct.len();
    let [direct, forwarded] = [direct, forwarded].map(|times| load::nth(times, 0.5));
    let details = format!("{requests} requests each way: {direct:.3} ms, then {forwarded:.3} ms");
    Ok(ADDED.beside(forwarded - direct, details))
}

async fn turn(client: &Upstream) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(TURN);
    for _ in 0..TURN {
        let began = Instant::now();
        let answer = load::send(client, Call::get(PATH)).await?;
        times.push(began.elapsed());
        if !answer.status.is_success() {
            bail!("{PATH} is answered with {}", answer.status);
        }
    }
    Ok(times)
}
