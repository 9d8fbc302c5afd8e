//! One instance of each side is killed under load. No client notices, and no command is carried out twice.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::StatusCode;
use http_client::{Call, Upstream};
use http_server::headers::{CORRELATION_ID, IDEMPOTENCY_KEY};
use serde_json::json;
use sqlx::PgPool;
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::Pace;
use super::load::{self, Sample, Schedule};
use super::row::{Goal, Row};
use super::shop::{Fleet, Shop};

const SCENARIO: &str = "killed";
const FAILED: Goal = Goal {
    scenario: SCENARIO,
    measured: "failed requests",
    unit: "requests",
    at_most: 0.0,
};
const EFFECTS: Goal = Goal {
    scenario: SCENARIO,
    measured: "keys without exactly one effect",
    unit: "keys",
    at_most: 0.0,
};
const SLOWER: Goal = Goal {
    scenario: SCENARIO,
    measured: "p99 after it, beyond that before",
    unit: "ms",
    at_most: 50.0,
};

/// Connections and plans are made, stocks have begun.
const WARM_UP: Duration = Duration::from_secs(2);
/// What is compared with the time before.
const AFTER: Duration = Duration::from_secs(5);
/// Until a product is shown that was just made.
const SHOWN_MAX: Duration = Duration::from_secs(60);
const SHOWN_INTERVAL: Duration = Duration::from_millis(50);
/// Stocks that goods are received into: commands on one stock would wait for each other.
const STOCKS: u32 = 1_000;
const SKU: &str = "BENCH-0";

pub(super) async fn measure(
    shop: &Shop,
    fleet: &mut Fleet,
    pace: Pace,
) -> anyhow::Result<Vec<Row>> {
    let client = load::client(fleet.gateway.url())?;
    create_product(shop, &client).await?;
    let begin = Instant::now();
    let killed_at = begin + WARM_UP + pace.phase;
    let duration = WARM_UP + pace.phase + AFTER.max(pace.phase);
    let schedule = Schedule::new(begin, pace.rate, duration);
    let keys: Vec<Uuid> = (0..schedule.count)
        .step_by(2)
        .map(|_| Uuid::now_v7())
        .collect();
    // Every other request is a command.
    let call = |number: u32| match keys.get(number as usize / 2) {
        Some(key) if number.is_multiple_of(2) => receive(shop, number / 2 % STOCKS, *key),
        _ => look(),
    };
    let kill = async {
        sleep_until(killed_at).await;
        kill_one_of_each(fleet).await
    };
    let (samples, killed) = tokio::join!(
        load::run(&client, schedule, |status| status.is_success(), call),
        kill
    );
    killed?;
    let effects = Effects::of(&shop.scratch.pool, &keys).await?;
    let (failed, first) = load::failures(&samples);
    Ok(vec![
        FAILED.beside(f64::from(failed), told(samples.len(), first)),
        effects.row(),
        slower(&samples, begin + WARM_UP, killed_at),
    ])
}

/// A command on a stock.
pub(super) fn receive(shop: &Shop, stock: u32, key: Uuid) -> Call {
    let path = format!("/api/v1/inventory/store-1/BENCH-{stock}/receive");
    Call::post(&path)
        .bearer(&shop.staff)
        .header(IDEMPOTENCY_KEY, key.to_string())
        .header(CORRELATION_ID, key.to_string())
        .json(&json!({"quantity": 1}))
}

fn look() -> Call {
    Call::get(&format!("/api/v1/products/by-sku/{SKU}"))
}

/// Puts the product into the shop that is looked at, and waits until it is shown.
async fn create_product(shop: &Shop, client: &Upstream) -> anyhow::Result<()> {
    let create = Call::post("/api/v1/products")
        .bearer(&shop.staff)
        .header(IDEMPOTENCY_KEY, SKU)
        .json(&json!({
            "sku": SKU, "name": "Craft Lager 500 ml", "category": ["Drinks", "Beer"],
            "price": {"amount_minor": 199, "currency": "EUR"},
        }));
    let created = load::send(client, create).await?;
    created
        .expect(&[StatusCode::CREATED])
        .context("create a product")?;
    let begin = Instant::now();
    loop {
        let answer = load::send(client, look()).await?;
        if answer.status == StatusCode::OK {
            return Ok(());
        }
        if begin.elapsed() > SHOWN_MAX {
            bail!(
                "the product is not shown within {SHOWN_MAX:?}: {}",
                answer.status
            );
        }
        sleep(SHOWN_INTERVAL).await;
    }
}

async fn kill_one_of_each(fleet: &mut Fleet) -> anyhow::Result<()> {
    for side in [&mut fleet.commands, &mut fleet.queries] {
        let mut role = side.pop().context("nobody is left to be killed")?;
        role.kill().await?;
    }
    Ok(())
}

fn told(requests: usize, first: Option<&str>) -> String {
    match first {
        None => format!("of {requests}, half of them commands"),
        Some(first) => format!("of {requests}, half of them commands; the first: {first}"),
    }
}

fn slower(samples: &[Sample], warm_at: Instant, killed_at: Instant) -> Row {
    let within = |from: Instant, to: Instant| {
        let due = samples
            .iter()
            .filter(move |one| (from..to).contains(&one.due));
        (
            load::percentile(due.clone(), 0.5),
            load::percentile(due, 0.99),
        )
    };
    let before = within(warm_at, killed_at);
    let after = within(killed_at, killed_at + AFTER);
    let details = format!(
        "p99 {:.1} ms, then {:.1} ms for {} s; p50 {:.1} and {:.1} ms",
        before.1,
        after.1,
        AFTER.as_secs(),
        before.0,
        after.0
    );
    SLOWER.beside(after.1 - before.1, details)
}

/// What the log has of the commands.
struct Effects {
    keys: usize,
    missing: u32,
    doubled: u32,
}

impl Effects {
    /// Each effect carries the correlation id of its command, which is as new as its key.
    async fn of(pool: &PgPool, keys: &[Uuid]) -> anyhow::Result<Self> {
        let ids: Vec<String> = keys.iter().map(Uuid::to_string).collect();
        let counts: Vec<(String, i64)> = sqlx::query_as(
            "select metadata->>'correlation_id', count(*) from events \
             where metadata->>'correlation_id' = any($1) group by 1",
        )
        .bind(&ids)
        .fetch_all(pool)
        .await
        .context("count the effects in the log")?;
        let counts: HashMap<String, i64> = counts.into_iter().collect();
        let mut effects = Self {
            keys: keys.len(),
            missing: 0,
            doubled: 0,
        };
        for id in &ids {
            match counts.get(id) {
                None => effects.missing += 1,
                Some(1) => {}
                Some(_) => effects.doubled += 1,
            }
        }
        Ok(effects)
    }

    fn row(&self) -> Row {
        let Effects {
            keys,
            missing,
            doubled,
        } = self;
        let details = format!("of {keys}: {missing} without any, {doubled} with several");
        EFFECTS.beside(f64::from(missing + doubled), details)
    }
}
