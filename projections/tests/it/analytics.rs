//! What each event makes of the figures.

mod now;

use chrono::{TimeDelta, Utc};
use domain::order::CancelReason;
use domain::{Return, fulfilment, order, payment, return_goods};
use eventstore::dead_letters;
use projections::ReadModel;
use projections::verify::verify;
use read_models::analytics::funnel::Funnel;
use read_models::analytics::products::TopProducts;
use read_models::analytics::sales::{Bucket, Granularity};
use read_models::analytics::{Period, funnel, products, sales, times};
use tokio_util::sync::CancellationToken;

use crate::ordering::{Basket, slot, tell, total};
use crate::shop::Shop;

/// Where the baskets are from.
const BERLIN: Option<&str> = Some("berlin-1");

/// More than there can be of anything that is listed.
const ALL: i64 = 1_000;

fn today() -> Period {
    Period {
        from: Utc::now() - TimeDelta::days(2),
        to: Utc::now() + TimeDelta::days(2),
    }
}

/// Brings analytics to a position; the generation that answers.
async fn generation(shop: &Shop, position: i64) -> i32 {
    shop.bring_up(ReadModel::Analytics).await;
    shop.reached(ReadModel::Analytics, position).await
}

async fn funnel_of(shop: &Shop, position: i64) -> Funnel {
    let generation = generation(shop, position).await;
    let funnel = funnel::read(shop.pool(), generation, today(), BERLIN).await;
    funnel.unwrap()
}

/// All that happened, as if it had been in one hour.
async fn sales_of(shop: &Shop, position: i64) -> Bucket {
    let generation = generation(shop, position).await;
    let by_day = Granularity::Day;
    let buckets = sales::read(shop.pool(), generation, by_day, today(), BERLIN, ALL).await;
    let buckets = buckets.unwrap();
    let first = buckets[0].clone();
    buckets[1..].iter().fold(first, |sum, bucket| Bucket {
        placed: sum.placed + bucket.placed,
        completed: sum.completed + bucket.completed,
        cancelled: sum.cancelled + bucket.cancelled,
        returned: sum.returned + bucket.returned,
        refunded: sum.refunded + bucket.refunded,
        items: sum.items + bucket.items,
        revenue: read_models::products::Money {
            amount_minor: sum.revenue.amount_minor + bucket.revenue.amount_minor,
            ..sum.revenue
        },
        ..sum
    })
}

async fn top_of(shop: &Shop, position: i64) -> TopProducts {
    let generation = generation(shop, position).await;
    let top = products::top(shop.pool(), generation, today(), BERLIN, ALL).await;
    top.unwrap()
}

/// Placed, completed, cancelled, returned, refunded; revenue; pieces.
fn counts(sales: &Bucket) -> ([i64; 5], i64, i64) {
    let orders = [
        sales.placed,
        sales.completed,
        sales.cancelled,
        sales.returned,
        sales.refunded,
    ];
    (orders, sales.revenue.amount_minor, sales.items)
}

fn refunded(basket: &Basket) -> payment::Event {
    payment::Event::Refunded {
        order_id: basket.order_id,
        amount: total(),
        reference: "re_1".to_owned(),
    }
}

async fn findings(shop: &Shop) -> Vec<String> {
    let shutdown = CancellationToken::new();
    let report = verify(&shop.store, shop.data_directory(), "verify", &shutdown).await;
    let findings = report.unwrap().findings.into_iter();
    findings.flat_map(|finding| finding.places).collect()
}

#[tokio::test]
async fn an_order_counts_in_each_of_its_steps() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let placed = basket.order(&shop, basket.created()).await;
    assert_eq!(
        funnel_of(&shop, placed).await,
        Funnel {
            placed: 1,
            ..Funnel::default()
        }
    );
    assert_eq!(
        counts(&sales_of(&shop, placed).await),
        ([1, 0, 0, 0, 0], 0, 0)
    );
    let steps = [
        (order::Event::Reserved, [1, 0, 0, 0]),
        (order::Event::Paid, [1, 1, 0, 0]),
        (order::Event::Scheduled { slot: slot() }, [1, 1, 1, 0]),
        (
            order::Event::CancellationRequested { reason: None },
            [1, 1, 1, 0],
        ),
        (order::Event::Completed, [1, 1, 1, 1]),
        (order::Event::Returned, [1, 1, 1, 1]),
    ];
    for (event, expected) in steps {
        let position = basket.order(&shop, event).await;
        let funnel = funnel_of(&shop, position).await;
        let steps = [
            funnel.reserved,
            funnel.paid,
            funnel.scheduled,
            funnel.completed,
        ];
        assert_eq!((funnel.placed, steps), (1, expected));
        let top = top_of(&shop, position).await;
        let is_sold = funnel.completed == 1 && funnel.returned == 0;
        assert_eq!(top.by_items, top.by_revenue);
        assert_eq!(top.by_items.len(), usize::from(is_sold));
        if let [apple] = &top.by_items[..] {
            assert_eq!(
                (apple.sku.as_str(), apple.name.as_str()),
                ("apple", "Apple")
            );
            assert_eq!(
                (apple.orders, apple.items, apple.revenue.amount_minor),
                (1, 2, 300)
            );
            let sales = sales_of(&shop, position).await;
            assert_eq!(counts(&sales), ([1, 1, 0, 0, 0], 300, 2));
        }
    }
    let head = shop.store.read_head().await.unwrap().position;
    // The goods are back; the money is with its own event.
    assert_eq!(
        counts(&sales_of(&shop, head).await),
        ([1, 1, 0, 1, 0], 300, 0)
    );
    let head = basket.payment(&shop, refunded(&basket)).await;
    assert_eq!(
        counts(&sales_of(&shop, head).await),
        ([1, 1, 0, 1, 1], 0, 0)
    );
    assert_eq!(funnel_of(&shop, head).await.returned, 1);
    let generation = generation(&shop, head).await;
    let times = times::read(shop.pool(), generation, today(), BERLIN).await;
    let times = times.unwrap();
    assert_eq!((times.reserved.count, times.completed.count), (1, 1));
    assert_eq!(times.completed.p50_ms, times.completed.max_ms);
    assert!(times.completed.max_ms >= times.reserved.max_ms);
    assert_eq!(findings(&shop).await, [""; 0]);
}

#[tokio::test]
async fn a_cancelled_order_counts_by_its_reason() {
    let shop = Shop::open().await;
    let reasons = [
        CancelReason::OutOfStock,
        CancelReason::PaymentDeclined,
        CancelReason::PaymentTimeout,
        CancelReason::DeliveryUnavailable,
        CancelReason::Customer,
    ];
    let mut position = 0;
    for (n, reason) in reasons.into_iter().enumerate() {
        for _ in 0..=n {
            let basket = Basket::somebodys();
            basket.order(&shop, basket.created()).await;
            let cancelled = order::Event::Cancelled { reason };
            position = basket.order(&shop, cancelled).await;
        }
    }
    let funnel = funnel_of(&shop, position).await;
    let by = &funnel.cancelled_by_reason;
    let counted = [
        by.out_of_stock,
        by.payment_declined,
        by.payment_timeout,
        by.delivery_unavailable,
        by.customer,
    ];
    assert_eq!(counted, [1, 2, 3, 4, 5]);
    assert_eq!(
        (funnel.placed, funnel.cancelled, funnel.completed),
        (15, 15, 0)
    );
    assert_eq!(
        counts(&sales_of(&shop, position).await),
        ([15, 0, 15, 0, 0], 0, 0)
    );
    assert!(top_of(&shop, position).await.by_items.is_empty());
}

#[tokio::test]
async fn money_given_back_counts_once_and_for_completed_orders_only() {
    let shop = Shop::open().await;
    let kept = Basket::somebodys();
    kept.complete(&shop).await;
    let position = kept.payment(&shop, refunded(&kept)).await;
    let sales = sales_of(&shop, position).await;
    assert_eq!(counts(&sales), ([1, 1, 0, 0, 1], 0, 2));

    // Staff give the money back first; then the goods come back, too.
    let position = kept.order(&shop, order::Event::Returned).await;
    let sales = sales_of(&shop, position).await;
    assert_eq!(counts(&sales), ([1, 1, 0, 1, 1], 0, 0));

    let called_off = Basket::somebodys();
    called_off.order(&shop, called_off.created()).await;
    called_off.payment(&shop, called_off.charged()).await;
    called_off.payment(&shop, refunded(&called_off)).await;
    let reason = CancelReason::Customer;
    let position = called_off
        .order(&shop, order::Event::Cancelled { reason })
        .await;
    let sales = sales_of(&shop, position).await;
    assert_eq!(counts(&sales), ([2, 1, 1, 1, 1], 0, 0));
    assert_eq!(findings(&shop).await, [""; 0]);
}

#[tokio::test]
async fn a_saga_that_halts_counts_until_it_goes_on() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    basket.order(&shop, basket.created()).await;
    let step = fulfilment::Step::Charge;
    let failed = fulfilment::Event::AttemptFailed {
        step,
        attempt: 6,
        error: "no answer".to_owned(),
    };
    let position = basket.saga(&shop, failed).await;
    assert_eq!(funnel_of(&shop, position).await.parked, 0);
    let parked = || fulfilment::Event::Parked {
        step,
        error: "no answer".to_owned(),
    };
    let position = basket.saga(&shop, parked()).await;
    assert_eq!(funnel_of(&shop, position).await.parked, 1);
    let position = basket.saga(&shop, fulfilment::Event::Retried).await;
    assert_eq!(funnel_of(&shop, position).await.parked, 0);
    // The same order twice, by both of its sagas, is one order.
    basket.saga(&shop, parked()).await;
    let error = "no answer".to_owned();
    let step = return_goods::Step::Refund;
    let event = return_goods::Event::Parked { step, error };
    let position = tell::<Return>(&shop, basket.order_id, &event).await;
    assert_eq!(funnel_of(&shop, position).await.parked, 1);
    basket.saga(&shop, fulfilment::Event::Completed).await;
    let event = return_goods::Event::Completed;
    let position = tell::<Return>(&shop, basket.order_id, &event).await;
    assert_eq!(funnel_of(&shop, position).await.parked, 0);
    assert_eq!(findings(&shop).await, [""; 0]);
}

#[tokio::test]
async fn an_order_that_was_parked_counts_late_and_once() {
    let shop = Shop::open().await;
    let broken = Basket::somebodys();
    let placed = broken.order(&shop, broken.created()).await;
    let sound = serde_json::to_string(&broken.created()).unwrap();
    shop.rewrite(placed, r#"{"type":"order.created"}"#).await;
    let parked = fulfilment::Event::Parked {
        step: fulfilment::Step::Reserve,
        error: "no answer".to_owned(),
    };
    broken.saga(&shop, parked).await;
    let whole = Basket::somebodys();
    whole.complete(&shop).await;
    let scheduled = order::Event::Scheduled { slot: slot() };
    for event in [
        order::Event::Reserved,
        order::Event::Paid,
        scheduled,
        order::Event::Completed,
    ] {
        broken.order(&shop, event).await;
    }
    broken.payment(&shop, broken.initiated()).await;
    let head = broken.payment(&shop, refunded(&broken)).await;
    let sales = sales_of(&shop, head).await;
    assert_eq!(
        counts(&sales),
        ([1, 1, 0, 0, 0], 300, 2),
        "the broken one is left out"
    );
    assert_eq!(funnel_of(&shop, head).await.parked, 0);

    shop.rewrite(placed, &sound).await;
    let letters = dead_letters::list(shop.pool(), Some("analytics"), None, 10).await;
    let letters = letters.unwrap();
    dead_letters::request_retry(shop.pool(), letters[0].id, "test")
        .await
        .unwrap();
    let sales = sales_of(&shop, head).await;
    assert_eq!(counts(&sales), ([2, 2, 0, 0, 1], 300, 4));
    assert_eq!(top_of(&shop, head).await.by_items[0].items, 4);
    assert_eq!(funnel_of(&shop, head).await.parked, 1);
    assert_eq!(findings(&shop).await, [""; 0]);
}

#[tokio::test]
async fn a_forged_sum_is_found() {
    let shop = Shop::open().await;
    let head = Basket::somebodys().complete(&shop).await;
    generation(&shop, head).await;
    assert_eq!(findings(&shop).await, [""; 0]);
    sqlx::query(
        "update analytics_1.product_sales set items = items + 1 where store_id = 'berlin-1'",
    )
    .execute(shop.pool())
    .await
    .unwrap();
    let found = findings(&shop).await;
    let [place] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(place.starts_with("product_sales "), "{place}");
    assert!(
        place.ends_with(" berlin-1 apple EUR: items 3, rebuilt 2"),
        "{place}"
    );
}

#[tokio::test]
async fn a_product_has_the_name_by_which_it_was_sold_last() {
    let shop = Shop::open().await;
    let mut last = 0;
    for (name, days) in [("Braeburn", 0.0_f64), ("Apple", 1.0), ("Zabergau", 2.0)] {
        let basket = Basket::somebodys();
        last = basket.complete(&shop).await;
        let renamed = "update events set payload = jsonb_set(payload::jsonb, '{items,0,name}', to_jsonb($2::text))::json
                        where aggregate_id = $1 and event_type = 'order.created'";
        let moved = "update events set recorded_at = recorded_at - $2 * interval '1 day'
                      where aggregate_type = 'order' and aggregate_id = $1";
        let id = basket.order_id.to_string();
        let renamed = sqlx::query(renamed).bind(&id).bind(name);
        renamed.execute(shop.pool()).await.unwrap();
        let moved = sqlx::query(moved).bind(&id).bind(days);
        moved.execute(shop.pool()).await.unwrap();
    }
    let generation = generation(&shop, last).await;
    let week = Period {
        from: Utc::now() - TimeDelta::days(7),
        to: Utc::now() + TimeDelta::days(1),
    };
    let top = products::top(shop.pool(), generation, week, BERLIN, 1).await;
    let top = top.unwrap();
    let [apple] = &top.by_revenue[..] else {
        panic!("{top:?}");
    };
    assert_eq!((apple.name.as_str(), apple.orders), ("Braeburn", 3));
}
