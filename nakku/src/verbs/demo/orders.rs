//! The replay: customers arrive, order and wait for the end, so many at once and no more.

use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::customers::{Customers, Outside};
use super::outcomes::{Outcome, Outcomes};
use super::plan::{self, Plan};
use super::progress::Progress;
use super::system::{Answer, Call, System, Unanswered};
use crate::cli::Demo;

/// What the system lets a customer wait for in one request, in seconds.
const WAIT: &str = "wait=30";
/// An order that has not ended this long after the answer counts as unfinished.
const FOLLOWED_MAX: Duration = Duration::from_secs(120);
/// Between two looks at it at first; then twice as long each time.
const LOOK_MIN: Duration = Duration::from_millis(100);
/// And at most.
const LOOK_MAX: Duration = Duration::from_secs(2);

/// So many orders in a row that nobody answers, each tried for half a minute: the system is gone.
const UNANSWERED_MAX: u32 = 10;

/// A replay that everything is ready for.
pub(super) struct Replay<'a> {
    pub(super) system: &'a System,
    pub(super) plan: &'a Plan,
    pub(super) customers: &'a Customers<'a>,
    pub(super) options: &'a Demo,
}

/// An order as the system tells it; the answer to placing one has less.
#[derive(Debug, Deserialize)]
struct Order {
    id: String,
    status: String,
    reason: Option<String>,
    placed_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    /// Of the answer to placing it.
    position: Option<i64>,
}

/// Why an order was not followed to its end.
enum Lost {
    NotPlaced(String),
    Unanswered,
    /// It is placed, and what became of it is not told.
    Untold,
}

impl From<Unanswered> for Lost {
    fn from(_: Unanswered) -> Lost {
        Lost::Unanswered
    }
}

impl From<Outside> for Lost {
    fn from(outside: Outside) -> Lost {
        match outside {
            Outside::Refused(code) => Lost::NotPlaced(code),
            Outside::Unanswered(_) => Lost::Unanswered,
        }
    }
}

impl Replay<'_> {
    /// Places the plan's orders and follows each to its end. Asked to end, or left without answers, it places no more and
    /// waits for those under way.
    pub(super) async fn run(&self, shutdown: &CancellationToken) -> Outcomes {
        let run = Uuid::now_v7().simple().to_string();
        let began = Instant::now();
        let mut outcomes = Outcomes::default();
        let mut progress = Progress::new("orders", self.plan.orders() as usize);
        let stop = shutdown.child_token();
        let mut unanswered_in_a_row = 0;
        let mut settled = std::pin::pin!(
            self.arrivals(began)
                .take_until(stop.cancelled())
                .map(|number| self.settle(number, &run))
                .buffer_unordered(self.options.concurrency.into())
        );
        while let Some(outcome) = settled.next().await {
            unanswered_in_a_row = match outcome {
                Outcome::Unanswered => unanswered_in_a_row + 1,
                _ => 0,
            };
            if unanswered_in_a_row >= UNANSWERED_MAX {
                stop.cancel();
            }
            outcomes.count(outcome);
            progress.moved(1, || outcomes.in_short());
        }
        progress.finish();
        outcomes.took(began.elapsed());
        outcomes
    }

    /// The numbers of the orders, each when its customer comes: no sooner than the rate says, and who is late comes at once.
    fn arrivals(&self, began: Instant) -> impl futures::Stream<Item = u32> {
        let (orders, rate) = (self.plan.orders(), self.options.rate);
        stream::unfold(0, move |number| async move {
            if number == orders {
                return None;
            }
            if let Some(rate) = rate {
                tokio::time::sleep_until(began + comes_after(number, rate)).await;
            }
            Some((number, number + 1))
        })
    }

    async fn settle(&self, number: u32, run: &str) -> Outcome {
        let order = self.plan.order(number, run);
        match self.place_and_follow(&order).await {
            Ok(order) => outcome(&order),
            Err(Lost::NotPlaced(code)) => Outcome::Refused(code),
            Err(Lost::Unanswered) => Outcome::Unanswered,
            Err(Lost::Untold) => Outcome::Unfinished,
        }
    }

    async fn place_and_follow(&self, order: &plan::Order<'_>) -> Result<Order, Lost> {
        let (placed, mut token) = self.place(order).await?;
        // With both times there is nothing left to ask.
        if placed.is_told() {
            return Ok(placed);
        }
        let end = Instant::now() + FOLLOWED_MAX;
        let mut pause = LOOK_MIN;
        loop {
            let answer = self.look(&placed, &token).await.map_err(|_| Lost::Untold)?;
            if answer.status == StatusCode::UNAUTHORIZED {
                token = self.another_token(order, &token).await?;
            } else if let Ok(seen) = answer.read::<Order>()
                && (seen.is_told() || seen.is_parked())
            {
                return Ok(seen);
            }
            if Instant::now() >= end {
                return Err(Lost::Untold);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
    }

    /// The order as it is placed, and the token that placed it.
    async fn place(&self, order: &plan::Order<'_>) -> Result<(Order, String), Lost> {
        let token = self.customers.token(order.household).await?;
        let answer = self.ask_to_place(order, &token).await?;
        let (answer, token) = if answer.status == StatusCode::UNAUTHORIZED {
            let token = self.another_token(order, &token).await?;
            (self.ask_to_place(order, &token).await?, token)
        } else {
            (answer, token)
        };
        let code = answer.code();
        let placed = answer.read().map_err(|error| {
            tracing::debug!(%error, key = order.key, "not placed");
            Lost::NotPlaced(code)
        })?;
        Ok((placed, token))
    }

    async fn ask_to_place(
        &self,
        order: &plan::Order<'_>,
        token: &str,
    ) -> Result<Answer, Unanswered> {
        let items: Vec<Value> = order
            .items
            .iter()
            .map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity}))
            .collect();
        let body = json!({
            "store_id": order.store,
            "items": items,
            "payment": {"token": order.payment_token},
        });
        let call = Call::post("/orders", body)
            .with_token(token)
            .with("idempotency-key", &order.key)
            .with("prefer", WAIT);
        self.system.ask(&call).await
    }

    async fn look(&self, placed: &Order, token: &str) -> Result<Answer, Unanswered> {
        let mut call = Call::get(format!("/orders/{}", placed.id)).with_token(token);
        if let Some(position) = placed.position {
            call = call.with("nakku-min-position", position.to_string());
        }
        self.system.ask(&call).await
    }

    async fn another_token(
        &self,
        order: &plan::Order<'_>,
        refused: &str,
    ) -> Result<String, Outside> {
        self.customers.another_token(order.household, refused).await
    }
}

impl Order {
    /// Whether all is known that the table needs.
    fn is_told(&self) -> bool {
        self.placed_at.is_some() && self.ended_at.is_some()
    }

    fn is_parked(&self) -> bool {
        self.status == "parked"
    }
}

/// When the customer of this number comes, after the first one.
fn comes_after(number: u32, per_second: f64) -> Duration {
    Duration::from_secs_f64(f64::from(number) / per_second)
}

fn outcome(order: &Order) -> Outcome {
    let latency = match (order.placed_at, order.ended_at) {
        // Clocks of two machines may differ by more than an order takes.
        (Some(placed), Some(ended)) => (ended - placed).to_std().unwrap_or_default(),
        _ => Duration::ZERO,
    };
    match order.status.as_str() {
        "parked" => Outcome::Parked,
        "cancelled" => {
            let reason = order.reason.as_deref().unwrap_or("without a reason");
            Outcome::Cancelled(reason.to_owned())
        }
        // What is brought back later was complete once.
        "completed" | "returned" => Outcome::Completed(latency),
        _ => Outcome::Unfinished,
    }
}

#[cfg(test)]
mod tests;
