//! Orders to count, as their events would put them in.

use chrono::{DateTime, TimeDelta, Utc};
use read_models::analytics::funnel::{self, Halt, Key};
use read_models::analytics::orders::{self, Line, Order};
use read_models::analytics::products::{self, Counted};
use read_models::analytics::refunds::{self, Refund};
use read_models::analytics::sales::{self, Happened, What};
use read_models::analytics::{MODEL, NAME, SHAPE};
use read_models::{checkpoints, generations};

use super::POSITION;
use crate::Api;
use crate::seed::advance;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

/// An empty generation that is live.
pub async fn empty() -> (Api, i32) {
    let api = Api::start().await;
    let pool = api.pool();
    generations::ensure(pool, NAME).await.unwrap();
    let begun = generations::begin_building(pool, NAME, 0).await.unwrap();
    let generation = begun.generation;
    let mut connection = pool.acquire().await.unwrap();
    MODEL
        .create_generation(&mut connection, generation)
        .await
        .unwrap();
    checkpoints::create(pool, NAME, generation).await.unwrap();
    advance(pool, NAME, generation, POSITION).await;
    generations::switch(pool, NAME, generation, SHAPE)
        .await
        .unwrap();
    (api, generation)
}

pub fn order(id: &str, store_id: &str, placed_at: &str) -> Order {
    Order {
        id: id.to_owned(),
        store_id: store_id.to_owned(),
        currency: "EUR".to_owned(),
        amount_minor: 500,
        items: 3,
        placed_at: at(placed_at),
        reserved_at: None,
        paid_at: None,
        scheduled_at: None,
        completed_at: None,
        cancelled_at: None,
        cancel_reason: None,
        returned_at: None,
        version: 1,
    }
}

pub fn completed(order: Order, seconds: i64) -> Order {
    let after = |seconds| Some(order.placed_at + TimeDelta::seconds(seconds));
    Order {
        reserved_at: after(1),
        paid_at: after(2),
        scheduled_at: after(3),
        completed_at: after(seconds),
        version: 5,
        ..order
    }
}

fn happened(order: &Order, what: What, at: Option<DateTime<Utc>>) -> Option<Happened> {
    let (revenue_minor, items) = match what {
        What::Completed => (order.amount_minor, order.items),
        _ => (0, 0),
    };
    Some(Happened {
        at: at?,
        store_id: order.store_id.clone(),
        currency: order.currency.clone(),
        what,
        revenue_minor,
        items,
    })
}

/// Gives the money of orders back, as their payments' events would.
pub async fn refund(api: &Api, generation: i32, orders: &[&Order], refunded_at: &str) {
    let refund = |order: &&Order| Refund {
        order_id: order.id.clone(),
        refunded_at: at(refunded_at),
        currency: order.currency.clone(),
        amount_minor: order.amount_minor,
    };
    let given_back: Vec<Refund> = orders.iter().map(refund).collect();
    let ids: Vec<&str> = orders.iter().map(|order| order.id.as_str()).collect();
    // Twice, as after a checkpoint that was lost: it counts once.
    for _ in 0..2 {
        refunds::insert(api.pool(), generation, &given_back)
            .await
            .unwrap();
        let happened = refunds::count(api.pool(), generation, &ids).await.unwrap();
        sales::add(api.pool(), generation, &happened).await.unwrap();
    }
}

/// Puts orders in, as their events would.
pub async fn put(api: &Api, generation: i32, placed: &[Order]) {
    let pool = api.pool();
    let rows: Vec<&Order> = placed.iter().collect();
    orders::upsert(pool, generation, &rows).await.unwrap();
    let line = |sku: &str, items, amount_minor| Line {
        sku: sku.to_owned(),
        name: format!("Product {sku}"),
        items,
        amount_minor,
    };
    let lines = [line("apple", 2, 200), line("wine", 1, 300)];
    let with_lines: Vec<(&str, &[Line])> = placed
        .iter()
        .map(|order| (order.id.as_str(), &lines[..]))
        .collect();
    orders::insert_lines(pool, generation, &with_lines)
        .await
        .unwrap();
    let all = placed.iter().flat_map(|order| {
        [
            happened(order, What::Placed, Some(order.placed_at)),
            happened(order, What::Completed, order.completed_at),
            happened(order, What::Cancelled, order.cancelled_at),
        ]
    });
    let all: Vec<Happened> = all.flatten().collect();
    sales::add(pool, generation, &all).await.unwrap();
    let counted = placed.iter().filter_map(|order| {
        Some(Counted {
            order_id: order.id.clone(),
            store_id: order.store_id.clone(),
            currency: order.currency.clone(),
            completed_at: order.completed_at?,
            is_returned: false,
        })
    });
    let counted: Vec<Counted> = counted.collect();
    products::add(pool, generation, &counted).await.unwrap();
}

/// Two completed orders, one that was cancelled, one that halts.
pub async fn with_orders() -> Api {
    let (api, generation) = empty().await;
    let first = completed(order("o-1", "store-1", "2026-11-20T09:59:58Z"), 4);
    let second = completed(order("o-2", "store-2", "2026-11-21T23:30:00.25Z"), 8);
    let cancelled = Order {
        cancelled_at: Some(at("2026-11-20T10:30:00Z")),
        cancel_reason: Some("payment-declined".to_owned()),
        ..order("o-3", "store-1", "2026-11-20T10:29:00Z")
    };
    let halting = order("o-4", "store-1", "2026-11-20T11:00:00Z");
    put(&api, generation, &[first, second, cancelled, halting]).await;
    let halt = |order_id: &str, is_parked| Halt {
        key: Key {
            order_id: order_id.to_owned(),
            saga: "fulfilment".to_owned(),
        },
        is_parked,
        version: 9,
    };
    let halts = [
        halt("o-4", true),
        halt("o-1", false),
        halt("o-unknown", true),
    ];
    funnel::upsert(api.pool(), generation, &halts)
        .await
        .unwrap();
    api
}
