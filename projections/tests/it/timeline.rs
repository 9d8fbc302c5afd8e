//! What the timeline of an order tells.

use domain::order::CancelReason;
use domain::{delivery, fulfilment, order, payment};
use eventstore::dead_letters;
use projections::ReadModel;
use read_models::replays::State;
use read_models::timeline::{self, Item};
use serde_json::json;

use crate::ordering::{Basket, tell};
use crate::shop::{REPLAY, Shop};
use crate::story::{
    COURIER, Event, STAFF, Told, answer, asked, completion, parked, rejection, return_of, tell_all,
};

const MODEL: ReadModel = ReadModel::Timeline;
const ALL: i64 = 1_000;

async fn items(shop: &Shop, basket: &Basket, position: i64) -> Vec<Item> {
    let generation = shop.reached(MODEL, position).await;
    let order_id = basket.order_id.as_uuid();
    timeline::list(shop.pool(), generation, order_id, 0, ALL)
        .await
        .unwrap()
}

/// Type, actor, reason and attempt of each, as they read.
fn told(items: &[Item]) -> Vec<String> {
    let told = |item: &Item| {
        let reason = item.reason.iter().map(|reason| format!(" ({reason})"));
        let attempt = item.attempt.iter().map(|attempt| format!(" #{attempt}"));
        let more: String = attempt.chain(reason).collect();
        format!("{} by {}{more}", item.event_type, item.actor)
    };
    items.iter().map(told).collect()
}

#[tokio::test]
async fn every_step_of_every_stream_is_told_in_order_by_who_took_it() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let other = Basket::somebodys();
    tell_all(&shop, &other, completion(&other)).await;
    tell_all(&shop, &basket, completion(&basket)).await;
    let head = tell_all(&shop, &basket, return_of(&basket)).await;
    shop.bring_up(MODEL).await;

    let items = items(&shop, &basket, head).await;
    let customer = basket.customer_id;
    let placed = format!("order.created by {customer}");
    let assigned = format!("delivery.assigned by {COURIER}");
    let picked_up = format!("delivery.picked-up by {COURIER}");
    let failed = format!("delivery.failed by {COURIER} (nobody opened)");
    let expected = [
        placed.as_str(),
        "fulfilment.started by fulfilment",
        "fulfilment.reservation-requested by fulfilment #1",
        "reservation.confirmed by inventory",
        "fulfilment.payment-requested by fulfilment #1",
        "order.reserved by fulfilment",
        "payment.initiated by payment",
        "payment.completed by payment",
        "fulfilment.delivery-requested by fulfilment #1",
        "order.paid by fulfilment",
        "delivery.scheduled by delivery",
        "fulfilment.commit-requested by fulfilment #1",
        "order.scheduled by fulfilment",
        "reservation.committed by inventory",
        "fulfilment.completed by fulfilment",
        "order.completed by fulfilment",
        &assigned,
        &picked_up,
        &failed,
        "return.started by return",
        "return.refund-requested by return #1",
        "payment.refund-requested by payment #1",
        "payment.refunded by payment",
        "return.restock-requested by return #1",
        "reservation.released by inventory",
        "return.completed by return",
        "order.returned by return",
    ];
    assert_eq!(told(&items), expected);
    let positions: Vec<i64> = items.iter().map(|item| item.position).collect();
    assert!(positions.is_sorted(), "{positions:?}");
    assert_eq!(positions.last(), Some(&head));
    let generation = shop.reached(MODEL, head).await;
    let order_id = basket.order_id.as_uuid();
    let found = timeline::customer(shop.pool(), generation, order_id).await;
    assert_eq!(found.unwrap(), Some(Some(customer.as_uuid())));
    let after = items[25].position;
    let rest = timeline::list(shop.pool(), generation, order_id, after, ALL);
    assert_eq!(rest.await.unwrap(), items[26..]);
}

#[tokio::test]
async fn what_went_wrong_is_told_with_its_reason() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let order_id = basket.order_id;
    let reason = CancelReason::OutOfStock;
    let declined = |detail: Option<&str>| {
        Event::Payment(payment::Event::Failed {
            order_id,
            reason: payment::Failure::Declined,
            detail: detail.map(str::to_owned),
        })
    };
    let nobody_brings_it = Event::Delivery(delivery::Event::Failed {
        order_id,
        reason: "no slot is free".parse().unwrap(),
        is_final: true,
    });
    let refund_requested = Event::Payment(payment::Event::RefundRequested {
        order_id,
        attempt: 1,
    });
    let retried = Event::Fulfilment(fulfilment::Event::Retried);
    let nobody = Told {
        event: Event::Order(basket.created()),
        metadata: json!({}),
    };
    let mut story = parked(&basket, "the provider did not answer").split_off(7);
    story.extend([
        asked(STAFF, retried),
        answer(&basket, rejection(&basket, 2)),
        answer(&basket, rejection(&basket, 12)),
        answer(&basket, declined(None)),
        answer(&basket, declined(Some("insufficient funds"))),
        answer(&basket, nobody_brings_it),
        asked(STAFF, refund_requested),
        answer(&basket, Event::Order(order::Event::Cancelled { reason })),
        nobody,
    ]);
    let head = tell_all(&shop, &basket, story).await;
    shop.bring_up(MODEL).await;

    let short: Vec<String> = (1..=10)
        .map(|sku| format!("sku-{sku}: requested 3, available 1"))
        .collect();
    let short = short.join("; ");
    let expected = [
        format!("order.cancellation-requested by {} (ordered twice)", basket.customer_id),
        "fulfilment.compensation-started by fulfilment (customer)".to_owned(),
        "fulfilment.refund-requested by fulfilment #1".to_owned(),
        "payment.refund-requested by payment #1".to_owned(),
        "payment.refund-failed by payment #1 (the provider did not answer)".to_owned(),
        "fulfilment.attempt-failed by fulfilment #1 (the provider did not answer)".to_owned(),
        "fulfilment.refund-requested by fulfilment #2".to_owned(),
        "fulfilment.parked by fulfilment (the provider did not answer)".to_owned(),
        "fulfilment.retried by operator".to_owned(),
        "reservation.rejected by inventory (sku-1: requested 3, available 1; sku-2: requested 3, available 1)".to_owned(),
        format!("reservation.rejected by inventory ({short}; 2 more)"),
        "payment.failed by payment (declined)".to_owned(),
        "payment.failed by payment (declined: insufficient funds)".to_owned(),
        "delivery.failed by delivery (no slot is free)".to_owned(),
        format!("payment.refund-requested by {STAFF} #1"),
        "order.cancelled by fulfilment (out-of-stock)".to_owned(),
        "order.created by order".to_owned(),
    ];
    assert_eq!(told(&items(&shop, &basket, head).await), expected);
}

#[tokio::test]
async fn told_again_nothing_is_twice_and_a_replay_is_equal() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let worker = shop.start(MODEL);
    let head = tell_all(&shop, &basket, completion(&basket)).await;
    let before = items(&shop, &basket, head).await;
    assert_eq!(before.len(), 16);
    // Somebody moves the checkpoint: the writer begins anew, and is handed everything again.
    sqlx::query("update checkpoints set position = 0, event_id = null where consumer = 'timeline'")
        .execute(shop.pool())
        .await
        .unwrap();
    let head = tell_all(&shop, &basket, return_of(&basket)).await;
    let after = items(&shop, &basket, head).await;
    assert_eq!((after.len(), &after[..16]), (27, &before[..]));

    let asked = read_models::replays::Request {
        require_equal: true,
        ..REPLAY
    };
    let replayed = shop.replay(&worker.consumer, asked).await;
    assert_eq!(replayed.state, State::Switched);
    assert_eq!(replayed.differences.unwrap().rebuilt_rows, 27);
    assert_eq!(items(&shop, &basket, head).await, after);
    worker.stop().await;
}

#[tokio::test]
async fn an_order_is_grown_for_whoever_has_seen_less() {
    let shop = Shop::open().await;
    let (grown, quiet) = (Basket::somebodys(), Basket::somebodys());
    let quiet_at = tell_all(&shop, &quiet, completion(&quiet)).await;
    let head = tell_all(&shop, &grown, completion(&grown)).await;
    shop.bring_up(MODEL).await;
    let generation = shop.reached(MODEL, head).await;
    let (grown, quiet) = (grown.order_id.as_uuid(), quiet.order_id.as_uuid());
    let wanted = [grown, quiet, uuid::Uuid::now_v7()];
    for (after, expected) in [
        (0, vec![grown, quiet]),
        (quiet_at, vec![grown]),
        (head, vec![]),
    ] {
        let moved = timeline::moved_after(shop.pool(), generation, &wanted, after);
        assert_eq!(moved.await.unwrap(), expected.into_iter().collect());
    }
}

#[tokio::test]
async fn a_stream_that_no_order_can_have_is_parked_alone() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    tell::<domain::Order>(&shop, "no-order", &order::Event::Reserved).await;
    let head = tell_all(&shop, &basket, completion(&basket)).await;
    shop.bring_up(MODEL).await;
    assert_eq!(items(&shop, &basket, head).await.len(), 16);
    let parked = dead_letters::count(shop.pool(), Some("timeline")).await;
    assert_eq!(parked.unwrap(), 1);
}

/// Who follows an order asks for what comes after the last item: what would come late would never be seen.
#[tokio::test]
async fn what_cannot_be_read_holds_back_the_rest_of_its_order_and_of_no_other() {
    let shop = Shop::open().await;
    let (basket, other) = (Basket::somebodys(), Basket::somebodys());
    basket.order(&shop, basket.created()).await;
    let at = basket.payment(&shop, basket.initiated()).await;
    let sound = shop.payload(at).await;
    shop.rewrite(at, &sound.replace("payment.initiated", "payment.foreseen"))
        .await;
    let broken = basket.order(&shop, order::Event::Reserved).await;
    other.order(&shop, other.created()).await;
    let head = other.payment(&shop, other.initiated()).await;
    shop.bring_up(MODEL).await;
    let types = async |basket: &Basket| -> Vec<String> {
        let items = items(&shop, basket, head).await;
        items.into_iter().map(|item| item.event_type).collect()
    };
    assert_eq!(types(&basket).await, ["order.created"]);
    assert_eq!(types(&other).await, ["order.created", "payment.initiated"]);
    let letters = dead_letters::list(shop.pool(), Some(timeline::NAME), None, 10)
        .await
        .unwrap();
    let [letter] = letters.as_slice() else {
        panic!("{letters:?}");
    };
    let stream = (letter.stream_type.as_str(), letter.stream_id.as_str());
    assert_eq!(stream, ("order", basket.order_id.to_string().as_str()));
    assert_eq!((letter.position, letter.blocked), (at, 1));

    shop.rewrite(at, &sound).await;
    dead_letters::request_retry(shop.pool(), letter.id, "test")
        .await
        .unwrap();
    shop.bring_up(MODEL).await;
    let items = items(&shop, &basket, head).await;
    let positions: Vec<i64> = items.iter().map(|item| item.position).collect();
    assert_eq!(positions[1..], [at, broken]);
}
