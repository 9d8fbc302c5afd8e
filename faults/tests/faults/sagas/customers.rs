//! Customers: they order, repeat themselves until they are answered, and some change their minds; and staff, who say of some
//! deliveries that they failed.

use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::evidence::Asked;
use super::site::{LOOK_INTERVAL, PLENTY, SCARCE, STORE, STORE_WITHOUT_COURIERS, Site};
use super::{LONG, SOON};

/// A client that hears nothing asks again.
const REQUEST_MAX: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How an order begins, and what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    token: &'static str,
    wants: Wants,
    turn: Turn,
    /// Whether it can be completed at all.
    may_complete: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Plenty,
    Scarce,
    NoCouriers,
}

/// What happens on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Nothing,
    /// Its customer changes their mind some time after it was placed.
    CalledOffSoon,
    /// The same once it is paid: while a courier is looked for.
    CalledOffOncePaid,
    /// Staff say that its delivery failed for good once that is booked: while the order is completed.
    FailsOnceBooked,
    /// The same once it is completed: it comes back.
    FailsOnceCompleted,
}

const GOOD: Kind = Kind {
    name: "good",
    token: "tok_ok",
    wants: Wants::Plenty,
    turn: Turn::Nothing,
    may_complete: true,
};
const BAD: Kind = Kind {
    may_complete: false,
    ..GOOD
};

/// Ten that should be completed, if nothing else goes wrong, ten that should not, and four that are not handed over.
#[rustfmt::skip]
const KINDS: [Kind; 24] = [
    GOOD, GOOD, GOOD, GOOD,
    Kind { name: "flaky", token: "tok_flaky_3", ..GOOD },
    Kind { name: "flaky", token: "tok_flaky_3", ..GOOD },
    Kind { name: "busy", token: "tok_busy", ..GOOD },
    Kind { name: "answer lost", token: "tok_lost", ..GOOD },
    Kind { name: "answer lost thrice", token: "tok_lost_3", ..GOOD },
    Kind { name: "slow", token: "tok_slow_400", ..GOOD },
    Kind { name: "declined", token: "tok_declined", ..BAD },
    Kind { name: "silent", token: "tok_timeout", ..BAD },
    Kind { name: "charged too late", token: "tok_late_9000", ..BAD },
    Kind { name: "answered too late", token: "tok_slow_9000", ..BAD },
    Kind { name: "called off", turn: Turn::CalledOffSoon, ..GOOD },
    Kind { name: "called off, answer lost", token: "tok_lost_4", turn: Turn::CalledOffSoon, ..GOOD },
    Kind { name: "called off once paid", turn: Turn::CalledOffOncePaid, ..GOOD },
    Kind { name: "scarce", wants: Wants::Scarce, ..GOOD },
    Kind { name: "refund fails", token: "tok_refundfails_4", wants: Wants::NoCouriers, ..BAD },
    Kind { name: "refund's answer lost", token: "tok_refundlost_3", wants: Wants::NoCouriers, ..BAD },
    Kind { name: "fails while it is completed", turn: Turn::FailsOnceBooked, ..BAD },
    Kind { name: "comes back", turn: Turn::FailsOnceCompleted, ..BAD },
    Kind { name: "comes back, refund fails", token: "tok_refundfails_4", turn: Turn::FailsOnceCompleted, ..BAD },
    Kind { name: "comes back, refund's answer lost", token: "tok_refundlost_3", turn: Turn::FailsOnceCompleted, ..BAD },
];

/// Charged with every request: the provider knows no keys.
const FORGOTTEN: Kind = Kind {
    name: "forgotten",
    token: "tok_forgetful",
    ..GOOD
};

/// All customers of a shop. Orders are placed when they are released.
pub(super) struct Customers {
    crowd: Mutex<Crowd>,
    tokens: Vec<String>,
    staff: String,
    http: Client,
    port: watch::Receiver<Option<u16>>,
    pool: PgPool,
}

struct Crowd {
    random: StdRng,
    /// What the next ones order, the last of them first.
    next: Vec<Kind>,
    placed: usize,
    ordering: JoinSet<Asked>,
}

impl Customers {
    pub(super) fn of(site: &Site, seed: u64) -> Self {
        let tokens = site.customers.iter().map(|customer| customer.token.clone());
        Self {
            crowd: Mutex::new(Crowd {
                random: StdRng::seed_from_u64(seed),
                next: Vec::new(),
                placed: 0,
                ordering: JoinSet::new(),
            }),
            tokens: tokens.collect(),
            staff: site.staff.clone(),
            http: Client::new(),
            port: site.port(),
            pool: site.pool().clone(),
        }
    }

    /// So many more orders.
    pub(super) fn release(&self, orders: usize) {
        let mut crowd = self.crowd.lock().unwrap();
        for _ in 0..orders {
            let kind = crowd.draw();
            let order = NewOrder::draw(kind, &mut crowd.random);
            let token = self.tokens[crowd.placed % self.tokens.len()].clone();
            crowd.placed += 1;
            let customer = Customer {
                http: self.http.clone(),
                port: self.port.clone(),
                token,
                staff: self.staff.clone(),
                pool: self.pool.clone(),
            };
            crowd.ordering.spawn(customer.buy(order));
        }
    }

    /// One more order, whose provider forgets that it has charged.
    pub(super) fn release_forgotten(&self) {
        self.crowd.lock().unwrap().next.push(FORGOTTEN);
        self.release(1);
    }

    /// As many as are missing to so many.
    pub(super) fn release_up_to(&self, orders: usize) {
        let placed = self.crowd.lock().unwrap().placed;
        self.release(orders.saturating_sub(placed));
    }

    /// What they asked for, once all of them are answered.
    pub(super) async fn answered(self) -> Vec<Asked> {
        let ordering = self.crowd.into_inner().unwrap().ordering;
        tokio::time::timeout(LONG, ordering.join_all())
            .await
            .expect("every client is answered")
    }
}

impl Crowd {
    fn draw(&mut self) -> Kind {
        if self.next.is_empty() {
            self.next = KINDS.to_vec();
            self.next.shuffle(&mut self.random);
        }
        self.next.pop().unwrap()
    }
}

/// What somebody orders.
struct NewOrder {
    kind: Kind,
    key: String,
    body: Value,
    /// How long they are content.
    content: Duration,
}

impl NewOrder {
    fn draw(kind: Kind, random: &mut StdRng) -> Self {
        let (store, first) = match kind.wants {
            Wants::Plenty => (STORE, None),
            Wants::Scarce => (STORE, Some(SCARCE)),
            Wants::NoCouriers => (STORE_WITHOUT_COURIERS, None),
        };
        let lines = random.random_range(1..=3);
        let more = PLENTY.sample(random, lines).copied();
        let items: Vec<Value> = first
            .into_iter()
            .chain(more)
            .map(|sku| {
                let quantity = if sku == SCARCE {
                    2
                } else {
                    random.random_range(1..=3)
                };
                json!({"sku": sku, "quantity": quantity})
            })
            .collect();
        Self {
            kind,
            key: Uuid::now_v7().to_string(),
            body: json!({"store_id": store, "items": items, "payment": {"token": kind.token}}),
            content: Duration::from_millis(random.random_range(0..800)),
        }
    }
}

struct Customer {
    http: Client,
    port: watch::Receiver<Option<u16>>,
    token: String,
    /// The token of somebody who may do anything to a delivery.
    staff: String,
    pool: PgPool,
}

impl Customer {
    async fn buy(mut self, order: NewOrder) -> Asked {
        let kind = order.kind;
        let token = self.token.clone();
        let (status, answer) = self.ask(&token, "/orders", &order.key, &order.body).await;
        assert_eq!(status, StatusCode::CREATED, "{}: {answer}", kind.name);
        let id = id_of(&answer);
        match kind.turn {
            Turn::Nothing => {}
            Turn::CalledOffSoon => {
                tokio::time::sleep(order.content).await;
                self.call_off(&id).await;
            }
            Turn::CalledOffOncePaid => {
                if self.comes_to(&[&id], "order.paid").await {
                    self.call_off(&id).await;
                }
            }
            Turn::FailsOnceBooked => self.fail_once(&id, "delivery.scheduled").await,
            Turn::FailsOnceCompleted => self.fail_once(&id, "order.completed").await,
        }
        // Who lost count asks again under the same key, at the end as well.
        let (status, answer) = self.ask(&token, "/orders", &order.key, &order.body).await;
        assert_eq!(status, StatusCode::CREATED, "{}: {answer}", kind.name);
        Asked {
            kind: kind.name,
            may_complete: kind.may_complete,
            answers: [id, id_of(&answer)].into(),
        }
    }

    async fn call_off(&mut self, id: &str) {
        let path = format!("/orders/{id}/cancel");
        let key = Uuid::now_v7().to_string();
        let body = json!({"reason": "ordered twice"});
        let token = self.token.clone();
        let (status, answer) = self.ask(&token, &path, &key, &body).await;
        let is_ended = status == StatusCode::CONFLICT && answer["code"] == "order-ended";
        assert!(status.is_success() || is_ended, "{status}: {answer}");
    }

    /// It cannot be handed over and nobody will try again, once this has happened; unless it is cancelled before.
    async fn fail_once(&mut self, id: &str, event_type: &str) {
        let delivery: String = sqlx::query_scalar(
            "select payload ->> 'delivery_id' from events
             where aggregate_type = 'order' and aggregate_id = $1 and event_type = 'order.created'",
        )
        .bind(id)
        .fetch_one(&self.pool)
        .await
        .unwrap();
        if !self.comes_to(&[id, &delivery], event_type).await {
            return;
        }
        let path = format!("/deliveries/{delivery}/fail");
        let key = Uuid::now_v7().to_string();
        let body = json!({"reason": "nobody at home", "final": true});
        let token = self.staff.clone();
        let (status, answer) = self.ask(&token, &path, &key, &body).await;
        assert!(status.is_success(), "{status}: {answer}");
    }

    /// Asks until there is an answer that settles it.
    async fn ask(
        &mut self,
        token: &str,
        path: &str,
        key: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let deadline = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < deadline, "{path} is not answered");
            let port = tokio::time::timeout(SOON, self.port.wait_for(Option::is_some)).await;
            let port = port.expect("somebody takes orders").unwrap().unwrap();
            let request = self
                .http
                .post(format!("http://127.0.0.1:{port}/api/v1{path}"))
                .timeout(REQUEST_MAX)
                .bearer_auth(token)
                .header("idempotency-key", key)
                .json(body);
            if let Ok(response) = request.send().await {
                let status = response.status();
                let answer = response.json::<Value>().await;
                if let Ok(answer) = answer
                    && !status.is_server_error()
                    && status != StatusCode::TOO_MANY_REQUESTS
                    && answer["code"] != "command-in-flight"
                {
                    return (status, answer);
                }
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Waits until this has happened to an order or its delivery. False where the order is cancelled before.
    async fn comes_to(&self, ids: &[&str], event_type: &str) -> bool {
        let deadline = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < deadline, "order {ids:?} goes nowhere");
            let seen: Option<String> = sqlx::query_scalar(
                "select event_type from events
                 where aggregate_type in ('order', 'delivery') and aggregate_id = any($1)
                   and event_type in ($2, 'order.cancelled')
                 order by position limit 1",
            )
            .bind(ids)
            .bind(event_type)
            .fetch_optional(&self.pool)
            .await
            .unwrap();
            match seen {
                Some(seen) => return seen == event_type,
                None => tokio::time::sleep(LOOK_INTERVAL).await,
            }
        }
    }
}

fn id_of(answer: &Value) -> String {
    answer["id"]
        .as_str()
        .expect("an order has an id")
        .to_owned()
}
