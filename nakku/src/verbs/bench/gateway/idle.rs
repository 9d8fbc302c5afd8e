//! A backend closes connections at the very moment at which they are used again. A request may meet one that is just being
//! closed; nobody is to notice, and nothing to happen twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing};
use futures::future::join_all;
use http_client::{Call, CallOptions, Pool, Retry, ServiceUrl, Upstream, UpstreamSettings};
use http_server::ServerLimits;
use http_server::headers::IDEMPOTENCY_KEY;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Pace;
use super::backend::Backend;
use super::load;
use super::row::{Goal, Row};

const FAILED: Goal = Goal {
    scenario: "idle race",
    measured: "failed requests",
    unit: "requests",
    at_most: 0.0,
};
const DOUBLED: Goal = Goal {
    measured: "keys with several effects",
    unit: "keys",
    ..FAILED
};

/// When the backend closes an idle connection.
const CLOSED_AFTER: Duration = Duration::from_millis(200);
/// When a connection is used again, from this on.
const USED_AFTER: Duration = Duration::from_millis(195);
/// And within this time.
const USED_WITHIN: Duration = Duration::from_millis(10);
/// Answers of a round are held back until all its requests are under way: so each has a connection of its own, and all are
/// idle from the same moment.
const HELD: Duration = Duration::from_millis(5);
/// As many idle connections as the pool keeps, each with one request a round.
const LANES: u32 = 100;
const REQUESTS: u32 = 10_000;
/// Rounds in a second of a phase: of ten seconds it is all requests, and a round takes longer than its share.
const ROUNDS_PER_SECOND: f64 = 10.0;
const DEADLINE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 1_024;

/// What the backend has done, by key, and the rounds whose answers are let go.
#[derive(Clone)]
struct Counted {
    effects: Arc<Mutex<HashMap<String, u32>>>,
    released: watch::Receiver<u32>,
}

pub(super) async fn measure(pace: Pace) -> anyhow::Result<Vec<Row>> {
    let (release, released) = watch::channel(0);
    let counted = Counted {
        effects: Arc::default(),
        released,
    };
    let limits = ServerLimits {
        header_read: CLOSED_AFTER,
        ..ServerLimits::default()
    };
    let backend = Backend::start(router(counted.clone()), limits).await?;
    let upstream = upstream(backend.url())?;
    let rounds = pace.phase.mul_f64(ROUNDS_PER_SECOND).as_secs().max(1);
    let rounds =
        u32::try_from(rounds).map_or(REQUESTS / LANES, |rounds| rounds.min(REQUESTS / LANES));
    let mut failures = Vec::new();
    for round in 1..=rounds {
        let idle_since = Instant::now();
        let lanes = (0..LANES).map(|lane| {
            let upstream = &upstream;
            async move {
                sleep_until(idle_since + pause(lane, round)).await;
                ask(upstream, lane, round).await
            }
        });
        let let_go = async {
            sleep_until(idle_since + USED_AFTER + USED_WITHIN + HELD).await;
            release.send_replace(round);
        };
        let (answers, ()) = tokio::join!(join_all(lanes), let_go);
        failures.extend(answers.into_iter().flatten());
    }
    let attempts: u64 = upstream.status().iter().map(|one| one.requests).sum();
    backend.stop().await?;
    Ok(rows(rounds * LANES, attempts, &failures, &counted))
}

fn router(counted: Counted) -> Router {
    let answer =
        async |State(mut counted): State<Counted>, Path(round): Path<u32>, headers: HeaderMap| {
            if let Some(key) = headers.get(IDEMPOTENCY_KEY) {
                let key = key.to_str().unwrap_or_default().to_owned();
                let mut effects = counted.effects.lock().expect("no panic while held");
                *effects.entry(key).or_default() += 1;
            }
            // Ends with the bench.
            let _ = counted
                .released
                .wait_for(|released| *released >= round)
                .await;
            StatusCode::NO_CONTENT
        };
    Router::new()
        .route("/rounds/{round}", routing::get(answer).post(answer))
        .with_state(counted)
}

/// One of our services: with a circuit breaker and repetitions within the budget.
fn upstream(url: &ServiceUrl) -> anyhow::Result<Upstream> {
    let lanes = usize::try_from(LANES)?;
    let settings = UpstreamSettings {
        service_token: Some(Uuid::new_v4().simple().to_string().into()),
        pool: Pool {
            idle_per_instance: lanes,
            idle_in_all: lanes,
            ..Pool::default()
        },
        ..UpstreamSettings::default()
    };
    Ok(Upstream::new("idle", std::slice::from_ref(url), settings)?)
}

/// Spread over the time in which the connection may be used again, in another order each round.
fn pause(lane: u32, round: u32) -> Duration {
    let place = (lane * 37 + round * 61) % LANES;
    USED_AFTER + USED_WITHIN * place / LANES
}

/// Every other request is a command. Why it failed, if it did.
async fn ask(upstream: &Upstream, lane: u32, round: u32) -> Option<String> {
    let path = format!("/rounds/{round}");
    let (call, retry) = if (lane + round).is_multiple_of(2) {
        let key = Uuid::now_v7().to_string();
        let body = json!({"quantity": 1});
        let post = Call::post(&path).header(IDEMPOTENCY_KEY, key).json(&body);
        (post, Retry::Keyed)
    } else {
        (Call::get(&path), Retry::Safe)
    };
    let options = CallOptions {
        retry,
        attempt: DEADLINE / 2,
        ..CallOptions::once(DEADLINE)
    };
    let answer = upstream.send(call, options, ANSWER_BYTES_MAX).await;
    load::failure(answer, |status| status.is_success())
}

fn rows(requests: u32, attempts: u64, failures: &[String], counted: &Counted) -> Vec<Row> {
    let effects = counted.effects.lock().expect("no panic while held");
    let doubled = effects.values().filter(|count| **count > 1).count();
    let first = failures
        .first()
        .map(|first| format!("; the first: {first}"));
    let first = first.unwrap_or_default();
    // Counts are far below 2^53: exact as floats.
    #[expect(clippy::cast_precision_loss)]
    let (failed, doubled) = (failures.len() as f64, doubled as f64);
    vec![
        FAILED.beside(
            failed,
            format!("of {requests}, in {attempts} attempts{first}"),
        ),
        DOUBLED.beside(doubled, format!("of {}", effects.len())),
    ]
}
