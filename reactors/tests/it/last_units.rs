//! Everybody wants the last ones.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::fulfilment::Patience;
use domain::stock::Levels;
use futures::future::join_all;
use reactors::payment_provider::{BuiltInProvider, Patient};

use crate::shop::Shop;

const CUSTOMERS: usize = 500;
const UNITS: u32 = 50;

/// Patience beyond what a busy machine takes for five hundred orders.
const PATIENT: Patience = Patience {
    payment: Duration::from_secs(300),
    reply: Duration::from_secs(300),
};

#[tokio::test(flavor = "multi_thread")]
async fn of_500_customers_50_get_the_last_50_units_in_at_most_50_commits() {
    let mut shop = Shop::open().await;
    let ale = (shop.product("ALE-1", UNITS).await, "ALE-1");
    let customers: Vec<String> = (0..CUSTOMERS).map(|number| format!("c{number}")).collect();
    let customers = join_all(customers.iter().map(|name| shop.customer(name))).await;
    let orders = customers
        .iter()
        .map(|customer| shop.place(*customer, ale, 1, "tok_ok"));
    let orders = join_all(orders).await;

    shop.everybody(Patient::new(BuiltInProvider), PATIENT);
    let ends = join_all(orders.iter().map(|order| shop.end(*order))).await;
    let count = |wanted: &str| ends.iter().filter(|end| *end == wanted).count();
    assert_eq!(count("completed"), UNITS as usize);
    assert_eq!(count("out-of-stock"), CUSTOMERS - UNITS as usize);
    let sold_out = Levels {
        on_hand: 0,
        reserved: 0,
    };
    assert_eq!(shop.levels("ALE-1").await, sold_out);

    // The events of one commit bear one moment, and no other commit has it.
    let log = shop.log().await;
    let answers = log.iter().filter(|event| {
        ["reservation.confirmed", "reservation.rejected"].contains(&event.event_type.as_str())
    });
    let commits: BTreeSet<_> = answers.map(|event| event.recorded_at).collect();
    println!(
        "{CUSTOMERS} reservations of one SKU in {} commits",
        commits.len()
    );
    assert!(commits.len() <= 50, "{} commits", commits.len());
    let dead: i64 = sqlx::query_scalar("select count(*) from dead_letters")
        .fetch_one(shop.store.pool())
        .await
        .unwrap();
    assert_eq!(dead, 0);
    shop.close().await;
}
