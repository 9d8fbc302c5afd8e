//! What the log says: its events as JSON, summed up one by one. Nothing of the program's own reading of events is used.

mod order;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use read_models::analytics::Period;
use read_models::analytics::customers::{ByChannel, Customers};
use read_models::analytics::funnel::Funnel;
use read_models::analytics::low_stock::LowStock;
use read_models::analytics::products::{TopProduct, TopProducts};
use read_models::analytics::sales::{Bucket, Granularity};
use read_models::analytics::times::{FulfilmentTimes, Times};
use read_models::products::Money;
use serde_json::{Value, json};

use self::order::{Order, number, orders, text};
use crate::shop::Shop;

/// At so few pieces a stock is low, as its events say.
const THRESHOLD: i64 = 10;

struct Entry {
    stream: (String, String),
    kind: String,
    payload: Value,
    at: DateTime<Utc>,
}

/// All of it.
pub struct Log {
    entries: Vec<Entry>,
    orders: BTreeMap<String, Order>,
    position: i64,
}

fn is_within(period: Period, at: DateTime<Utc>) -> bool {
    period.from <= at && at < period.to
}

fn beginning(at: DateTime<Utc>, granularity: Granularity) -> DateTime<Utc> {
    let pattern = match granularity {
        Granularity::Hour => "%Y-%m-%dT%H:00:00Z",
        Granularity::Day => "%Y-%m-%dT00:00:00Z",
    };
    at.format(pattern).to_string().parse().unwrap()
}

impl Log {
    pub async fn read(shop: &Shop) -> Self {
        let mut entries = Vec::new();
        let mut position = 0;
        loop {
            let page = shop.store.read_after(position, 1_000).await.unwrap();
            let Some(last) = page.last() else {
                break;
            };
            position = last.position;
            entries.extend(page.into_iter().map(|event| Entry {
                payload: serde_json::from_str(&event.payload).unwrap(),
                stream: (event.aggregate_type, event.aggregate_id),
                kind: event.event_type,
                at: event.recorded_at,
            }));
        }
        let orders = orders(&entries);
        Self {
            entries,
            orders,
            position,
        }
    }

    pub fn position(&self) -> i64 {
        self.position
    }

    pub fn stores(&self) -> BTreeSet<&str> {
        let orders = self.orders.values();
        orders
            .map(|order| order.payload["store_id"].as_str().unwrap())
            .collect()
    }

    pub fn sales(
        &self,
        granularity: Granularity,
        period: Period,
        store: Option<&str>,
    ) -> Vec<Bucket> {
        let mut buckets: BTreeMap<(DateTime<Utc>, String), Bucket> = BTreeMap::new();
        for order in self.orders.values().filter(|order| order.is_of(store)) {
            for what in ["created", "completed", "cancelled", "returned", "refunded"] {
                let at = match what {
                    "refunded" => order.refunded_at(),
                    _ => order.at(what),
                };
                let Some(at) = at.filter(|at| is_within(period, *at)) else {
                    continue;
                };
                let from = beginning(at, granularity);
                let bucket = buckets.entry((from, order.currency()));
                let bucket = bucket.or_insert_with(|| empty(from, order.currency()));
                match what {
                    "created" => bucket.placed += 1,
                    "cancelled" => bucket.cancelled += 1,
                    "completed" => {
                        bucket.completed += 1;
                        bucket.revenue.amount_minor += order.amount();
                        bucket.items += order.pieces();
                    }
                    "returned" => {
                        bucket.returned += 1;
                        bucket.items -= order.pieces();
                    }
                    _ => {
                        bucket.refunded += 1;
                        bucket.revenue.amount_minor -= order.amount();
                    }
                }
            }
        }
        buckets.into_values().collect()
    }

    /// The catalogue's names do not change here.
    pub fn top(&self, period: Period, store: Option<&str>, limit: i64) -> TopProducts {
        let mut sums: BTreeMap<(String, String), TopProduct> = BTreeMap::new();
        let kept = self.orders.values().filter(|order| {
            let completed = order.at("completed");
            completed.is_some_and(|at| is_within(period, at))
                && order.at("returned").is_none()
                && order.is_of(store)
        });
        for order in kept {
            for (sku, name, pieces, amount) in order.lines() {
                let currency = order.currency();
                let sum = sums.entry((sku.clone(), currency.clone()));
                let sum = sum.or_insert_with(|| TopProduct {
                    sku,
                    name,
                    orders: 0,
                    items: 0,
                    revenue: Money {
                        amount_minor: 0,
                        currency,
                    },
                });
                sum.orders += 1;
                sum.items += pieces;
                sum.revenue.amount_minor += amount;
            }
        }
        let limit = usize::try_from(limit).unwrap();
        let sorted = |key: fn(&TopProduct) -> (i64, i64)| {
            let mut products: Vec<_> = sums.values().cloned().collect();
            products.sort_by_key(|product| (std::cmp::Reverse(key(product)), product.sku.clone()));
            products.truncate(limit);
            products
        };
        TopProducts {
            by_items: sorted(|it| (it.items, it.revenue.amount_minor)),
            by_revenue: sorted(|it| (it.revenue.amount_minor, it.items)),
        }
    }

    fn placed(&self, period: Period, store: Option<&str>) -> Vec<(&String, &Order)> {
        let is_meant = |order: &Order| is_within(period, order.placed()) && order.is_of(store);
        let orders = self.orders.iter();
        orders.filter(|(_, order)| is_meant(order)).collect()
    }

    pub fn funnel(&self, period: Period, store: Option<&str>) -> Funnel {
        let orders = self.placed(period, store);
        let count = |is_meant: &dyn Fn(&str, &Order) -> bool| {
            let meant = orders.iter().filter(|(id, order)| is_meant(id, order));
            i64::try_from(meant.count()).unwrap()
        };
        let has = |what: &str| count(&|_, order| order.at(what).is_some());
        let for_reason = |reason: &str| count(&|_, order| order.reason.as_deref() == Some(reason));
        let mut funnel = Funnel {
            placed: count(&|_, _| true),
            reserved: has("reserved"),
            paid: has("paid"),
            scheduled: has("scheduled"),
            completed: has("completed"),
            cancelled: has("cancelled"),
            returned: has("returned"),
            parked: count(&|id, _| self.halts(id)),
            ..Funnel::default()
        };
        let reasons = &mut funnel.cancelled_by_reason;
        reasons.out_of_stock = for_reason("out-of-stock");
        reasons.payment_declined = for_reason("payment-declined");
        reasons.payment_timeout = for_reason("payment-timeout");
        reasons.delivery_unavailable = for_reason("delivery-unavailable");
        reasons.customer = for_reason("customer");
        funnel
    }

    /// Whether what a saga of the order said last is that it halts.
    fn halts(&self, order_id: &str) -> bool {
        ["fulfilment", "return"].into_iter().any(|saga| {
            let said = self.entries.iter().rfind(|entry| {
                let (kind, id) = &entry.stream;
                kind == saga && id == order_id
            });
            said.is_some_and(|entry| entry.kind == format!("{saga}.parked"))
        })
    }

    pub fn times(&self, period: Period, store: Option<&str>) -> FulfilmentTimes {
        let orders = self.placed(period, store);
        let of = |what: &str| {
            let took = orders.iter().filter_map(|(_, order)| {
                let took = order.at(what)? - order.placed();
                Some(took.num_milliseconds())
            });
            times(took.collect())
        };
        FulfilmentTimes {
            reserved: of("reserved"),
            paid: of("paid"),
            scheduled: of("scheduled"),
            completed: of("completed"),
        }
    }

    pub fn low_stock(&self, store: Option<&str>) -> Vec<LowStock> {
        let mut last = BTreeMap::new();
        for entry in self.entries.iter().filter(|it| it.stream.0 == "stock") {
            let levels = &entry.payload;
            let available = number(&levels["on_hand"]) - number(&levels["reserved"]);
            last.insert((text(&levels["store_id"]), text(&levels["sku"])), available);
        }
        let low = last.into_iter().filter(|((at, _), available)| {
            *available <= THRESHOLD && store.is_none_or(|store| at == store)
        });
        let mut low: Vec<LowStock> = low
            .map(|((store_id, sku), available)| LowStock {
                store_id,
                sku,
                available,
                threshold: THRESHOLD,
            })
            .collect();
        low.sort_by_key(|stock| stock.available);
        low
    }

    pub fn customers(&self) -> Customers {
        let by_mail = json!({"email": true, "webhook": false, "log": false});
        let mut users: BTreeMap<&str, (String, &str, Option<&Value>, i64)> = BTreeMap::new();
        for entry in self.entries.iter().filter(|it| it.stream.0 == "user") {
            let fresh = || (String::new(), "active", None, 0);
            let user = users.entry(&entry.stream.1).or_insert_with(fresh);
            match entry.kind.as_str() {
                "user.registered" | "user.role-assigned" => user.0 = text(&entry.payload["role"]),
                "user.deactivated" => user.1 = "deactivated",
                "user.erased" => user.1 = "erased",
                "user.preferences-changed" => {
                    user.2 = Some(&entry.payload["notification_preferences"]);
                }
                "user.updated" => user.3 += 1,
                _ => {}
            }
        }
        let mut counted = Customers::default();
        for (_, status, chosen, updates) in users.values().filter(|it| it.0 == "customer") {
            counted.registered += 1;
            counted.profile_updates += updates;
            match *status {
                "deactivated" => counted.deactivated += 1,
                "erased" => counted.erased += 1,
                _ => {
                    counted.active += 1;
                    counted.with_chosen_preferences += i64::from(chosen.is_some());
                    let told = |topic: &str| chosen.map_or(&by_mail, |chosen| &chosen[topic]);
                    let by = &mut counted.notification_preferences;
                    add(&mut by.order, told("order"));
                    add(&mut by.payment, told("payment"));
                    add(&mut by.delivery, told("delivery"));
                    add(&mut by.account, told("account"));
                }
            }
        }
        counted
    }
}

fn add(counted: &mut ByChannel, told: &Value) {
    let is_told = |channel: &str| i64::from(told[channel].as_bool().unwrap());
    counted.email += is_told("email");
    counted.webhook += is_told("webhook");
    counted.log += is_told("log");
}

fn empty(from: DateTime<Utc>, currency: String) -> Bucket {
    Bucket {
        from,
        placed: 0,
        completed: 0,
        cancelled: 0,
        returned: 0,
        refunded: 0,
        revenue: Money {
            amount_minor: 0,
            currency,
        },
        items: 0,
    }
}

/// A percentile is the time of the order that so many of a hundred did not exceed.
fn times(mut took: Vec<i64>) -> Times {
    took.sort_unstable();
    let count = took.len();
    let percentile = |percent: usize| {
        let rank = (count * percent).div_ceil(100);
        rank.checked_sub(1).map(|place| took[place])
    };
    Times {
        count: i64::try_from(count).unwrap(),
        p50_ms: percentile(50),
        p90_ms: percentile(90),
        p95_ms: percentile(95),
        p99_ms: percentile(99),
        max_ms: took.last().copied(),
    }
}
