//! What operators ask every role: does it live, is it ready, what is it, how is it doing.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::json::Json;
use crate::metrics;

/// Until a dependency must have answered: below the usual time-out of a prober.
const CHECK_MAX: Duration = Duration::from_secs(2);
/// The paths of [`operations`]; they pass by the edge's limits.
const PATHS: [&str; 4] = ["/health/live", "/health/ready", "/version", "/metrics"];
/// Media type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Of the whole workspace: all crates carry one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

type Probe = dyn Fn() -> Pin<Box<dyn Future<Output = Result<String, String>> + Send>> + Send + Sync;

/// A dependency and how to find out whether it is there.
#[derive(Clone)]
pub struct Check {
    name: String,
    probe: Arc<Probe>,
}

impl Check {
    /// `probe` answers with a detail worth showing, or with what is wrong; it has 2 s.
    pub fn new<F, A>(name: impl Into<String>, probe: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<String, String>> + Send + 'static,
    {
        Check {
            name: name.into(),
            probe: Arc::new(move || Box::pin(probe())),
        }
    }

    async fn run(self) -> CheckResult {
        let answer = match tokio::time::timeout(CHECK_MAX, (self.probe)()).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", CHECK_MAX.as_secs())),
        };
        let ok = answer.is_ok();
        let (Ok(detail) | Err(detail)) = answer;
        CheckResult {
            name: self.name,
            ok,
            detail,
        }
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// One dependency in the answer of `/health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

/// The answer of `/health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether every check is; then the status is 200, else 503.
    pub ready: bool,
    pub checks: Vec<CheckResult>,
}

/// `/health/live`, `/health/ready`, `/version` and `/metrics` of a role.
///
/// Installs the process's metrics recorder.
pub fn operations(role: &'static str, checks: Vec<Check>) -> Router {
    let recorder = metrics::install();
    metrics::set_build_info(VERSION, role);
    let [live, ready, version, metrics] = PATHS;
    let identity = serde_json::json!({ "name": "nakku", "version": VERSION, "role": role });
    let text = [(header::CONTENT_TYPE, PROMETHEUS_TEXT)];
    Router::new()
        .route(
            live,
            get(async || Json(serde_json::json!({ "live": true }))),
        )
        .route(ready, get(readiness))
        .with_state(Arc::<[Check]>::from(checks))
        .route(
            version,
            get(move || std::future::ready(Json(identity.clone()))),
        )
        .route(metrics, get(async move || (text, recorder.render())))
}

/// Whether a path belongs to [`operations`].
pub(crate) fn is_operation(path: &str) -> bool {
    PATHS.contains(&path)
}

async fn readiness(State(checks): State<Arc<[Check]>>) -> impl IntoResponse {
    let readiness = Readiness::of(&checks).await;
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness))
}

impl Readiness {
    /// Asks every dependency, all at once.
    pub async fn of(checks: &[Check]) -> Self {
        let mut running = JoinSet::new();
        for (index, check) in checks.iter().cloned().enumerate() {
            running.spawn(async move { (index, check.run().await) });
        }
        let mut results: Vec<Option<CheckResult>> = vec![None; checks.len()];
        while let Some(ended) = running.join_next().await {
            if let Ok((index, result)) = ended {
                results[index] = Some(result);
            }
        }
        let panicked = |check: &Check| CheckResult {
            name: check.name.clone(),
            ok: false,
            detail: "the check panicked".to_owned(),
        };
        let checks: Vec<CheckResult> = results
            .into_iter()
            .zip(checks.iter())
            .map(|(result, check)| result.unwrap_or_else(|| panicked(check)))
            .collect();
        let ready = checks.iter().all(|check| check.ok);
        Readiness { ready, checks }
    }
}
