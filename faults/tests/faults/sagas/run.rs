//! A run: customers order, processes die, what is left is judged.

use std::collections::BTreeMap;

use eventstore::{Reactions, reactor_progress};
use rand::SeedableRng;
use rand::rngs::StdRng;
use testing::Payment;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::LONG;
use super::checks::{End, check, orders};
use super::customers::Customers;
use super::evidence::{Evidence, timers};
use super::kills::{Death, kill_at_every_point};
use super::plants;
use super::site::{REACTORS, Role, Site};

/// At least so many orders.
const ORDERS: usize = 200;

pub(super) async fn run(over_kafka: bool, seed: u64) {
    let began = Instant::now();
    let site = Site::open(over_kafka).await;
    let customers = Customers::of(&site, seed);
    let over = CancellationToken::new();
    let mut deaths = Vec::new();
    let mut alive = Vec::new();
    let lane = |role: Role| {
        let (site, customers) = (&site, &customers);
        let over = over.clone();
        let mut random = StdRng::seed_from_u64(seed ^ role as u64);
        async move { kill_at_every_point(site, customers, role, &mut random, &over).await }
    };
    let (reactors, takers, relay) = tokio::join!(lane(Role::Reactors), lane(Role::Orders), async {
        match over_kafka {
            true => Some(lane(Role::Relay).await),
            false => None,
        }
    });
    for (died, process) in [reactors, takers].into_iter().chain(relay) {
        deaths.extend(died);
        alive.push(process);
    }
    let killed_for = began.elapsed();
    customers.release_up_to(ORDERS);
    let asked = customers.answered().await;
    all_ended(&site, asked.len()).await;
    for process in alive {
        site.stop(process).await;
    }
    let evidence = Evidence::of(&site, asked).await;
    println!("{}", summary(&evidence, &deaths));
    println!(
        "  {} | killed for {killed_for:.1?}, over after {:.1?}",
        if over_kafka { "kafka" } else { "log" },
        began.elapsed()
    );
    let wrong = check(&evidence);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_was_hard(&evidence);
    plants::are_caught(&evidence);
    nothing_happens_again(&site, &evidence).await;
}

/// A provider that charges whenever it is asked is not covered up for.
pub(super) async fn forgetful(seed: u64) {
    let site = Site::open(false).await;
    let customers = Customers::of(&site, seed);
    let mut alive = Vec::new();
    for role in site.roles() {
        alive.push(site.start(*role, None).await);
    }
    customers.release_forgotten();
    let asked = customers.answered().await;
    all_ended(&site, asked.len()).await;
    for process in alive {
        site.stop(process).await;
    }
    let evidence = Evidence::of(&site, asked).await;
    let wrong = check(&evidence);
    println!("{}", wrong.join("\n"));
    let is_seen = |wrong: &String| wrong.contains("was charged 2 times");
    assert!(wrong.iter().any(is_seen));
}

/// Waits until every order has ended, whatever failed is back, and nothing is to happen later.
async fn all_ended(site: &Site, orders: usize) {
    testing::until("every order has ended", LONG, async || {
        let (ended, on_the_way_back): (i64, i64) = sqlx::query_as(
            "with ends as (
                 select aggregate_id, event_type from events where aggregate_type = 'order'
                    and event_type in ('order.completed', 'order.cancelled', 'order.returned'))
             select (select count(distinct aggregate_id) from ends),
                    (select count(*) from events failed
                      where event_type = 'delivery.failed' and not exists (
                            select 1 from ends where aggregate_id = failed.payload ->> 'order_id'
                               and ends.event_type <> 'order.completed'))",
        )
        .fetch_one(site.pool())
        .await
        .unwrap();
        tokio::time::sleep(super::site::LOOK_INTERVAL).await;
        usize::try_from(ended).unwrap() >= orders
            && on_the_way_back == 0
            && timers(site.pool()).await.is_empty()
    })
    .await;
}

/// Orders ended in every way there is, many of each, and money moved in every way.
fn assert_was_hard(evidence: &Evidence) {
    let ends = ends(evidence);
    let count = |end: End| ends.get(&Some(end)).copied().unwrap_or_default();
    let reasons = [
        "out-of-stock",
        "payment-declined",
        "payment-timeout",
        "delivery-unavailable",
        "customer",
    ];
    for reason in reasons {
        assert!(
            count(End::Cancelled(reason)) > 0,
            "none cancelled: {reason}"
        );
    }
    assert!(count(End::Returned) > 0, "none returned");
    let (completed, all) = (count(End::Completed), evidence.asked.len());
    assert!(all >= ORDERS, "{all} orders");
    assert!(
        (all / 10..all * 4 / 5).contains(&completed),
        "{completed} of {all} completed"
    );
    for kind in [Payment::Charged, Payment::Refunded, Payment::Voided] {
        assert!(
            evidence.record.iter().any(|line| line.payment == kind),
            "none {kind:?}"
        );
    }
}

/// How many orders ended how.
fn ends(evidence: &Evidence) -> BTreeMap<Option<End<'_>>, usize> {
    let mut ends = BTreeMap::new();
    for order in orders(evidence, &mut Vec::new()) {
        *ends.entry(order.end).or_default() += 1;
    }
    ends
}

/// The whole log is handed to everybody once more: nobody acts on it.
async fn nothing_happens_again(site: &Site, before: &Evidence) {
    let last = before.log.last().expect("the log has events").position;
    for reactor in REACTORS {
        Reactions::reset(site.pool(), reactor, 0).await.unwrap();
    }
    let mut processes = Vec::new();
    for role in site.roles() {
        processes.push(site.start(*role, None).await);
    }
    testing::until("everything is handled again", LONG, async || {
        for reactor in REACTORS {
            let progress = reactor_progress(site.pool(), reactor).await.unwrap();
            if progress.is_none_or(|progress| progress.position < last) {
                return false;
            }
        }
        timers(site.pool()).await.is_empty()
    })
    .await;
    for process in processes {
        site.stop(process).await;
    }
    let after = Evidence::of(site, before.asked.clone()).await;
    let news: Vec<_> = after.log.iter().skip(before.log.len()).collect();
    assert!(news.is_empty(), "{news:?}");
    assert_eq!(after.record, before.record);
}

fn summary(evidence: &Evidence, deaths: &[Death]) -> String {
    let mut kills: BTreeMap<(Role, &str), Vec<u64>> = BTreeMap::new();
    for death in deaths {
        let at = kills.entry((death.role, death.point)).or_default();
        at.push(death.occurrence);
    }
    let sum = |kind: Payment| {
        let of_kind = evidence.record.iter().filter(|line| line.payment == kind);
        of_kind.fold((0, 0), |(lines, sum), line| {
            (lines + 1, sum + line.amount_minor)
        })
    };
    let ends: Vec<String> = ends(evidence)
        .into_iter()
        .map(|(end, count)| match end {
            Some(end) => format!("{count} {end}"),
            None => format!("{count} without an end"),
        })
        .collect();
    let kills: Vec<String> = kills
        .into_iter()
        .map(|((role, point), at)| format!("{}:{point} {at:?}", role.name()))
        .collect();
    format!(
        "  {} orders, {} events | {} | {} kills: {}\n  the provider charged {:?}, refunded {:?}, voided {:?} (times, cents)",
        evidence.asked.len(),
        evidence.log.len(),
        ends.join(", "),
        deaths.len(),
        kills.join(", "),
        sum(Payment::Charged),
        sum(Payment::Refunded),
        sum(Payment::Voided)
    )
}
