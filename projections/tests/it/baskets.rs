//! Every figure of analytics over real baskets, beside what the log says when it is summed up with nothing but the
//! contract of its events.

mod log;
mod shopping;

use chrono::{DateTime, TimeDelta, Utc};
use projections::ReadModel;
use read_models::analytics::sales::Granularity;
use read_models::analytics::{Period, customers, funnel, low_stock, products, sales, times};
use read_models::replays::Request;

use self::log::Log;
use crate::shop::{REPLAY, Shop};

/// Baskets that are bought: enough for every ending in every store.
const BASKETS: usize = 300;

/// More than there can be of anything that is listed.
const ALL: i64 = 1_000_000;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn period(from: &str, to: &str) -> Period {
    let (from, to) = (at(from), at(to));
    Period { from, to }
}

/// The days on which the baskets were bought and their orders ended.
fn every_day() -> Period {
    period("2017-11-20T00:00:00Z", "2017-12-12T00:00:00Z")
}

/// Whatever is asked is what the log says.
async fn agrees(shop: &Shop, log: &Log, generation: i32) {
    let mut stores: Vec<Option<&str>> = log.stores().into_iter().map(Some).collect();
    assert_eq!(stores.len(), 3);
    stores.extend([None, Some("store-nowhere")]);
    for store in stores {
        sales_agree(shop, log, generation, store).await;
        products_agree(shop, log, generation, store).await;
        orders_agree(shop, log, generation, store).await;
        let (total, low) = low_stock::list(shop.pool(), generation, store, ALL)
            .await
            .unwrap();
        assert_eq!(low, log.low_stock(store), "{store:?}");
        assert_eq!(total, i64::try_from(low.len()).unwrap());
    }
    let counted = customers::read(shop.pool(), generation).await.unwrap();
    assert_eq!(counted, log.customers());
}

async fn sales_agree(shop: &Shop, log: &Log, generation: i32, store: Option<&str>) {
    let some_hours = period("2017-11-20T13:00:00Z", "2017-11-21T02:00:00Z");
    let some_days = period("2017-11-21T00:00:00Z", "2017-11-24T00:00:00Z");
    for (granularity, asked) in [
        (Granularity::Hour, every_day()),
        (Granularity::Hour, some_hours),
        (Granularity::Day, every_day()),
        (Granularity::Day, some_days),
    ] {
        let read = sales::read(shop.pool(), generation, granularity, asked, store, ALL).await;
        let read = read.unwrap();
        assert_eq!(read, log.sales(granularity, asked, store), "{store:?}");
    }
}

async fn products_agree(shop: &Shop, log: &Log, generation: i32, store: Option<&str>) {
    let some_days = period("2017-11-21T00:00:00Z", "2017-11-24T00:00:00Z");
    for (asked, limit) in [(every_day(), 10), (every_day(), ALL), (some_days, 25)] {
        let top = products::top(shop.pool(), generation, asked, store, limit).await;
        assert_eq!(top.unwrap(), log.top(asked, store, limit), "{store:?}");
    }
}

async fn orders_agree(shop: &Shop, log: &Log, generation: i32, store: Option<&str>) {
    let part = period("2017-11-22T09:17:05.25Z", "2017-11-25T18:00:00.5Z");
    let none = period("2019-01-01T00:00:00Z", "2019-02-01T00:00:00Z");
    for asked in [every_day(), part, none] {
        orders_agree_in(shop, log, generation, store, asked).await;
    }
}

async fn orders_agree_in(
    shop: &Shop,
    log: &Log,
    generation: i32,
    store: Option<&str>,
    asked: Period,
) {
    let read = funnel::read(shop.pool(), generation, asked, store).await;
    assert_eq!(read.unwrap(), log.funnel(asked, store), "{store:?}");
    let read = times::read(shop.pool(), generation, asked, store).await;
    assert_eq!(read.unwrap(), log.times(asked, store), "{store:?}");
}

/// There is something to compare: nothing agrees with nothing, too.
fn tells_of_everything(log: &Log) {
    let funnel = log.funnel(every_day(), None);
    let reasons = &funnel.cancelled_by_reason;
    let counts = [
        reasons.out_of_stock,
        reasons.payment_declined,
        reasons.payment_timeout,
        reasons.delivery_unavailable,
        reasons.customer,
        funnel.returned,
        funnel.parked,
    ];
    assert!(counts.iter().all(|count| *count >= 5), "{funnel:?}");
    assert_eq!(funnel.placed, i64::try_from(BASKETS).unwrap());
    assert!(funnel.completed > funnel.returned && funnel.paid > funnel.scheduled);
    let hours = log.sales(Granularity::Hour, every_day(), None);
    assert!(hours.len() > 100, "{} hours", hours.len());
    assert!(hours.iter().any(|hour| hour.revenue.amount_minor < 0));
    let refunded: i64 = hours.iter().map(|hour| hour.refunded).sum();
    assert!(refunded > funnel.returned, "{refunded} refunded");
    assert!(log.times(every_day(), None).completed.count > 100);
    assert!(log.low_stock(None).len() > 50);
    let customers = log.customers();
    assert!(customers.deactivated > 0 && customers.erased > 0 && customers.profile_updates > 0);
    assert!(customers.with_chosen_preferences > 0);
}

#[tokio::test]
async fn every_figure_is_what_the_log_says_also_when_it_is_read_again_and_after_a_replay() {
    let shop = Shop::open().await;
    let bought = shopping::buy(&shop, BASKETS).await;
    shopping::write_times(&shop, &bought).await;
    let log = Log::read(&shop).await;
    tells_of_everything(&log);
    shop.bring_up(ReadModel::Analytics).await;
    let first = shop.reached(ReadModel::Analytics, log.position()).await;
    agrees(&shop, &log, first).await;

    // Everything comes once more, as after a checkpoint that was lost.
    let rewound = sqlx::query(
        "update checkpoints set position = 0, event_id = null where consumer = 'analytics'",
    );
    rewound.execute(shop.pool()).await.unwrap();
    shop.bring_up(ReadModel::Analytics).await;
    shop.reached(ReadModel::Analytics, log.position()).await;
    agrees(&shop, &log, first).await;

    shop.request("analytics", REPLAY).await;
    shop.bring_up(ReadModel::Analytics).await;
    let second = shop.reached(ReadModel::Analytics, log.position()).await;
    assert_eq!(second, first + 1);
    agrees(&shop, &log, second).await;
}

#[tokio::test]
async fn what_is_followed_as_it_happens_is_what_a_rebuild_makes_of_it() {
    let shop = Shop::open().await;
    let worker = shop.start(ReadModel::Analytics);
    shopping::buy(&shop, BASKETS / 4).await;
    let log = Log::read(&shop).await;
    let live = shop.reached(ReadModel::Analytics, log.position()).await;
    let counted = customers::read(shop.pool(), live).await.unwrap();
    assert_eq!(counted, log.customers());
    let today = Period {
        from: Utc::now() - TimeDelta::days(1),
        to: Utc::now() + TimeDelta::days(2),
    };
    let read = products::top(shop.pool(), live, today, None, ALL).await;
    assert_eq!(read.unwrap(), log.top(today, None, ALL));
    orders_agree_in(&shop, &log, live, None, today).await;

    let compare = Request {
        compare_only: true,
        ..REPLAY
    };
    let compared = shop.replay("analytics", compare).await;
    worker.stop().await;
    let differences = compared.differences.unwrap();
    assert_eq!(differences.first, []);
    assert!(differences.live_rows > 500, "{differences:?}");
}
