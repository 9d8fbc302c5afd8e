//! All instances of a service are dead. Once that is known its clients are told at once.

use std::time::Duration;

use anyhow::bail;
use axum::http::StatusCode;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Pace;
use super::exposition::Metrics;
use super::killed::receive;
use super::load::{self, Schedule};
use super::row::{Goal, Row};
use super::shop::{Fleet, Shop};

const SCENARIO: &str = "all dead";
const MEDIAN: Goal = Goal {
    scenario: SCENARIO,
    measured: "time to be told, p50",
    unit: "ms",
    at_most: 5.0,
};
const WORST: Goal = Goal {
    measured: "time to be told, p99",
    ..MEDIAN
};

/// Until all breakers are open: a few requests do it, however slow the machine.
const OPEN_MAX: Duration = Duration::from_secs(30);
const OPEN_INTERVAL: Duration = Duration::from_millis(10);
const STOCK: u32 = 0;

pub(super) async fn measure(
    shop: &Shop,
    fleet: &mut Fleet,
    pace: Pace,
) -> anyhow::Result<Vec<Row>> {
    let client = load::client(fleet.gateway.url())?;
    for role in &mut fleet.commands {
        role.kill().await?;
    }
    fleet.commands.clear();
    let begin = Instant::now();
    loop {
        // Whatever it is answered with: calls are what opens a breaker.
        let _ = load::send(&client, receive(shop, STOCK, Uuid::now_v7())).await;
        let metrics = Metrics::of(fleet.gateway.url()).await?;
        let circuits = metrics.values("nakku_circuit_state", ("upstream", "inventory"));
        if !circuits.is_empty() && circuits.iter().all(|state| *state > 0.0) {
            break;
        }
        if begin.elapsed() > OPEN_MAX {
            bail!("not all circuits are open within {OPEN_MAX:?}: {circuits:?}");
        }
        sleep(OPEN_INTERVAL).await;
    }
    let opened = begin.elapsed();
    let schedule = Schedule::new(Instant::now(), pace.rate, pace.phase);
    let is_told = |status| status == StatusCode::SERVICE_UNAVAILABLE;
    let call = |_| receive(shop, STOCK, Uuid::now_v7());
    let samples = load::run(&client, schedule, is_told, call).await;
    let (others, first) = load::failures(&samples);
    let others = first.map(|first| format!(", {others} of them not with 503 but {first}"));
    let details = format!(
        "of {} answers{}; open after {opened:.1?}",
        samples.len(),
        others.unwrap_or_default()
    );
    Ok(vec![
        MEDIAN.beside(load::percentile(&samples, 0.5), details),
        WORST.beside(load::percentile(&samples, 0.99), String::new()),
    ])
}
