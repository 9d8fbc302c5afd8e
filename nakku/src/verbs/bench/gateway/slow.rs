//! One of three instances begins to answer half a second later. What goes to it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use futures::future::try_join_all;
use http_client::{Call, ServiceUrl, Upstream, UpstreamSettings};
use http_server::ServerLimits;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::Pace;
use super::backend::Backend;
use super::load::{self, Schedule};
use super::row::{Goal, Row};

const SHARE: Goal = Goal {
    scenario: "slow instance",
    measured: "its share of the first 2 s",
    unit: "%",
    at_most: 5.0,
};

const INSTANCES: usize = 3;
const SLOWER_BY: Duration = Duration::from_millis(500);
/// All are as fast, and known.
const WARM_UP: Duration = Duration::from_secs(2);
/// From the beginning of its slowness.
const WITHIN: Duration = Duration::from_secs(2);

/// An instance: how often it was asked, and whether it is slow.
#[derive(Default)]
struct Instance {
    asked: AtomicU64,
    is_slow: AtomicBool,
}

pub(super) async fn measure(pace: Pace) -> anyhow::Result<Row> {
    let instances: Vec<Arc<Instance>> = (0..INSTANCES).map(|_| Arc::default()).collect();
    let start =
        |one: &Arc<Instance>| Backend::start(router(Arc::clone(one)), ServerLimits::default());
    let backends = try_join_all(instances.iter().map(start)).await?;
    let urls: Vec<ServiceUrl> = backends.iter().map(|one| one.url().clone()).collect();
    let settings = UpstreamSettings {
        service_token: Some(Uuid::new_v4().simple().to_string().into()),
        ..UpstreamSettings::default()
    };
    let upstream = Upstream::new("slow", &urls, settings)?;
    let begin = Instant::now();
    let schedule = Schedule::new(begin, pace.rate, WARM_UP + WITHIN + pace.phase);
    let load = load::run_safe(&upstream, schedule, |_| Call::get("/"));
    let watch = async {
        sleep_until(begin + WARM_UP).await;
        let fast = shares(&instances);
        instances[0].is_slow.store(true, Ordering::Relaxed);
        sleep_until(begin + WARM_UP + WITHIN).await;
        (fast, shares(&instances))
    };
    let (samples, (fast, slow)) = tokio::join!(load, watch);
    let later = shares(&instances);
    for backend in backends {
        backend.stop().await?;
    }
    let (failed, _) = load::failures(&samples);
    let details = format!("{fast:.1} % before, {later:.1} % later on; {failed} failed");
    Ok(SHARE.beside(slow, details))
}

fn router(instance: Arc<Instance>) -> Router {
    let answer = async move || {
        instance.asked.fetch_add(1, Ordering::Relaxed);
        if instance.is_slow.load(Ordering::Relaxed) {
            sleep(SLOWER_BY).await;
        }
        StatusCode::NO_CONTENT
    };
    Router::new().route("/", get(answer))
}

/// The first one's share of what was asked since the last look, in percent.
fn shares(instances: &[Arc<Instance>]) -> f64 {
    let asked = instances
        .iter()
        .map(|one| one.asked.swap(0, Ordering::Relaxed));
    let asked: Vec<u64> = asked.collect();
    let sum: u64 = asked.iter().sum();
    // Counts are far below 2^53: exact as floats.
    #[expect(clippy::cast_precision_loss)]
    let share = asked[0] as f64 * 100.0 / sum.max(1) as f64;
    share
}
