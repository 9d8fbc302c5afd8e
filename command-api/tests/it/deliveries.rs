//! `/deliveries`.

use domain::{OrderId, UserId, delivery};
use http_server::Role;
use serde_json::{Value, json};

use crate::app::{Answer, Person};
use crate::shop::{Shop, payload};

const REASON: &str = "nobody at home";

/// A registered user with another role.
async fn user(shop: &Shop, name: &str, role: &str) -> Person {
    let person = shop.app.customer(&format!("{name}@example.org")).await;
    let admin = shop.app.person(Role::Admin);
    let call = shop
        .app
        .post(&format!("/users/{}/assign-role", person.id))
        .by(&admin);
    call.json(&json!({"role": role})).await.ok();
    shop.app.person_of(&person.id, role.parse().unwrap())
}

/// A delivery of an order that is arranged.
async fn scheduled(shop: &Shop, key: &str) -> String {
    let order = shop.ordered(key).await;
    let delivery = schedule(shop, &order).await;
    shop.complete(&order).await;
    delivery
}

async fn schedule(shop: &Shop, order: &str) -> String {
    let created = shop.created(order).await;
    let delivery = created["delivery_id"].as_str().unwrap().to_owned();
    let schedule = delivery::Schedule {
        order_id: order.parse::<OrderId>().unwrap(),
        customer_id: shop.customer.id.parse::<UserId>().unwrap(),
        store_id: "store-1".parse().unwrap(),
        slot: "2026-11-23T05:00:00Z".parse().unwrap(),
        address: None,
    };
    shop.delivery(&delivery, delivery::Command::Schedule(Box::new(schedule)))
        .await;
    delivery
}

async fn step(shop: &Shop, delivery: &str, step: &str, by: &Person, body: Value) -> Answer {
    let call = shop
        .app
        .post(&format!("/deliveries/{delivery}{step}"))
        .by(by);
    call.json(&body).await
}

async fn last(shop: &Shop) -> (String, Value) {
    let event = shop.app.events().await.pop().unwrap();
    (event.event_type.clone(), payload(&event))
}

#[tokio::test]
async fn a_courier_takes_a_delivery_and_brings_it() {
    let shop = Shop::open().await;
    let courier = user(&shop, "carl", "courier").await;
    let delivery = scheduled(&shop, "1").await;
    let call = shop
        .app
        .post(&format!("/deliveries/{delivery}/assign"))
        .by(&courier);
    let answer = call.empty().await.ok();
    assert_eq!(
        (answer.status.as_u16(), answer.id()),
        (200, delivery.as_str())
    );
    let (kind, event) = last(&shop).await;
    assert_eq!(
        (&*kind, &event["courier_id"]),
        ("delivery.assigned", &json!(courier.id))
    );
    for (number, (path, kind)) in [
        ("/pick-up", "delivery.picked-up"),
        ("/deliver", "delivery.completed"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = step(&shop, &delivery, path, &courier, json!({})).await.ok();
        assert_eq!(answer.body["version"], number + 3);
        assert_eq!(last(&shop).await.0, kind);
        // Said twice, done once.
        let again = step(&shop, &delivery, path, &courier, json!({})).await.ok();
        assert_eq!(again.body["version"], number + 3);
    }
    let body = json!({"reason": REASON, "final": true});
    let answer = step(&shop, &delivery, "/fail", &courier, body).await;
    answer.refused(409, "delivery-out-of-turn");
}

#[tokio::test]
async fn a_failed_attempt_is_assigned_again_unless_it_is_final() {
    let shop = Shop::open().await;
    let courier = user(&shop, "carl", "courier").await;
    let other = user(&shop, "dora", "courier").await;
    let delivery = scheduled(&shop, "1").await;
    step(&shop, &delivery, "/assign", &courier, json!({}))
        .await
        .ok();
    let body = |is_final: bool| json!({"reason": REASON, "final": is_final});
    step(&shop, &delivery, "/fail", &courier, body(false))
        .await
        .ok();
    assert_eq!(last(&shop).await.1["final"], false);
    // It is nobody's now.
    step(&shop, &delivery, "/fail", &courier, body(true))
        .await
        .refused(404, "not-found");
    step(&shop, &delivery, "/assign", &other, json!({}))
        .await
        .ok();
    step(&shop, &delivery, "/pick-up", &other, json!({}))
        .await
        .ok();
    step(&shop, &delivery, "/fail", &other, body(true))
        .await
        .ok();
    let (kind, event) = last(&shop).await;
    assert_eq!(
        (&*kind, &event["reason"]),
        ("delivery.failed", &json!(REASON))
    );
    assert_eq!(event["final"], true);
    let version = step(&shop, &delivery, "/fail", &shop.staff, body(true))
        .await
        .ok()
        .body["version"]
        .clone();
    assert_eq!(version, 6);
    step(&shop, &delivery, "/fail", &shop.staff, body(false))
        .await
        .refused(409, "delivery-out-of-turn");
    step(&shop, &delivery, "/assign", &courier, json!({}))
        .await
        .refused(409, "delivery-out-of-turn");
}

#[tokio::test]
async fn staff_assign_whom_they_want_and_couriers_themselves() {
    let shop = Shop::open().await;
    let courier = user(&shop, "carl", "courier").await;
    let other = user(&shop, "dora", "courier").await;
    let delivery = scheduled(&shop, "1").await;
    let whom = |id: &str| json!({"courier_id": id});
    step(&shop, &delivery, "/assign", &courier, whom(&other.id))
        .await
        .refused(403, "forbidden");
    step(&shop, &delivery, "/assign", &shop.customer, json!({}))
        .await
        .refused(403, "forbidden");
    let answer = step(&shop, &delivery, "/assign", &shop.staff, whom("carl"))
        .await
        .refused(422, "invalid-body");
    assert_eq!(answer.pointers(), ["/courier_id"]);
    for nobody in [&*shop.customer.id, "0198f000-0000-7000-8000-000000000001"] {
        let answer = step(&shop, &delivery, "/assign", &shop.staff, whom(nobody)).await;
        assert_eq!(
            answer.refused(422, "courier-not-active").pointers(),
            ["/courier_id"]
        );
    }
    // Of staff only the token is known here, so they cannot be their own couriers.
    let answer = step(&shop, &delivery, "/assign", &shop.staff, json!({})).await;
    answer.refused(422, "courier-not-active");
    let clerk = user(&shop, "clerk", "staff").await;
    step(&shop, &delivery, "/assign", &clerk, json!({}))
        .await
        .ok();

    step(&shop, &delivery, "/assign", &shop.staff, whom(&courier.id))
        .await
        .ok();
    let again = step(&shop, &delivery, "/assign", &courier, whom(&courier.id))
        .await
        .ok();
    assert_eq!(again.body["version"], 3);
    step(&shop, &delivery, "/assign", &other, json!({}))
        .await
        .refused(409, "delivery-taken");
    step(&shop, &delivery, "/assign", &shop.staff, whom(&other.id))
        .await
        .ok();
    let path = format!("/users/{}/deactivate", courier.id);
    shop.app.post(&path).by(&courier).empty().await.ok();
    let answer = step(&shop, &delivery, "/assign", &shop.staff, whom(&courier.id)).await;
    answer.refused(422, "courier-not-active");
}

#[tokio::test]
async fn what_is_another_couriers_is_not_there() {
    let shop = Shop::open().await;
    let courier = user(&shop, "carl", "courier").await;
    let other = user(&shop, "dora", "courier").await;
    let delivery = scheduled(&shop, "1").await;
    step(&shop, &delivery, "/pick-up", &courier, json!({}))
        .await
        .refused(404, "not-found");
    step(&shop, &delivery, "/pick-up", &shop.staff, json!({}))
        .await
        .refused(409, "delivery-out-of-turn");
    step(&shop, &delivery, "/assign", &courier, json!({}))
        .await
        .ok();
    let body = json!({"reason": REASON, "final": true});
    for (path, body) in [
        ("/pick-up", json!({})),
        ("/deliver", json!({})),
        ("/fail", body),
    ] {
        let nobodys = "0198f000-0000-7000-8000-000000000001";
        for (delivery, by, status, code) in [
            (&*delivery, &other, 404, "not-found"),
            (&*delivery, &shop.customer, 403, "forbidden"),
            (nobodys, &courier, 404, "not-found"),
            (nobodys, &shop.staff, 404, "not-found"),
        ] {
            step(&shop, delivery, path, by, body.clone())
                .await
                .refused(status, code);
        }
        let call = shop.app.post(&format!("/deliveries/{delivery}{path}"));
        call.json(&body).await.refused(401, "unauthenticated");
    }
    step(&shop, &delivery, "/pick-up", &shop.staff, json!({}))
        .await
        .ok();
    step(&shop, &delivery, "/deliver", &shop.staff, json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn goods_leave_the_store_with_a_completed_order() {
    let shop = Shop::open().await;
    let courier = user(&shop, "carl", "courier").await;
    let order = shop.ordered("1").await;
    let delivery = schedule(&shop, &order).await;
    step(&shop, &delivery, "/assign", &courier, json!({}))
        .await
        .ok();
    step(&shop, &delivery, "/deliver", &courier, json!({}))
        .await
        .refused(409, "delivery-out-of-turn");
    step(&shop, &delivery, "/pick-up", &courier, json!({}))
        .await
        .refused(409, "order-in-progress");
    shop.complete(&order).await;
    step(&shop, &delivery, "/pick-up", &courier, json!({}))
        .await
        .ok();
}

#[tokio::test]
async fn steps_are_repeated_by_their_key_and_checked_by_version() {
    let shop = Shop::open().await;
    let courier = user(&shop, "carl", "courier").await;
    let delivery = scheduled(&shop, "1").await;
    step(&shop, &delivery, "/assign", &courier, json!({}))
        .await
        .ok();
    let body = json!({"reason": REASON, "final": false});
    let fail = |key: &str, version: &str| {
        let call = shop
            .app
            .post(&format!("/deliveries/{delivery}/fail"))
            .by(&courier);
        call.key(key).header("if-match", version).json(&body)
    };
    fail("1", "\"9\"").await.refused(412, "version-mismatch");
    let first = fail("2", "\"2\"").await.ok();
    // By now it is nobody's; the key still tells what came of it.
    let again = fail("2", "\"2\"").await.ok();
    assert!(again.is_replayed());
    assert_eq!(again.body, first.body);
    for (body, pointers) in [
        (json!({"reason": "", "final": true}), "/reason"),
        (json!({"reason": REASON}), "/final"),
        (json!({"reason": REASON, "final": "yes"}), "/final"),
        (
            json!({"reason": REASON, "final": true, "again": 1}),
            "/again",
        ),
    ] {
        let answer = step(&shop, &delivery, "/fail", &shop.staff, body).await;
        assert_eq!(answer.refused(422, "invalid-body").pointers(), [pointers]);
    }
}

#[tokio::test]
async fn a_store_says_how_much_it_delivers() {
    let shop = Shop::open().await;
    let app = &shop.app;
    let change = |by: &Person, body: Value| {
        let call = app.put("/deliveries/stores/store-1/capacity").by(by);
        async move { call.json(&body).await }
    };
    let answer = change(&shop.staff, json!({"per_hour": 120})).await.ok();
    assert_eq!((answer.status.as_u16(), answer.id()), (200, "store-1"));
    assert_eq!(answer.body["version"], 1);
    let (kind, event) = last(&shop).await;
    assert_eq!(
        (&*kind, &event["per_hour"]),
        ("capacity.changed", &json!(120))
    );
    assert_eq!(
        change(&shop.staff, json!({"per_hour": 120}))
            .await
            .ok()
            .body["version"],
        1
    );
    assert_eq!(
        change(&shop.staff, json!({"per_hour": 0})).await.ok().body["version"],
        2
    );
    for wrong in [
        json!(-1),
        json!(100_001),
        json!(1.5),
        json!("120"),
        Value::Null,
    ] {
        let answer = change(&shop.staff, json!({"per_hour": wrong})).await;
        assert_eq!(
            answer.refused(422, "invalid-body").pointers(),
            ["/per_hour"]
        );
    }
    change(&shop.customer, json!({"per_hour": 1}))
        .await
        .refused(403, "forbidden");
    change(&app.person(Role::Courier), json!({"per_hour": 1}))
        .await
        .refused(403, "forbidden");
    let call = app.put("/deliveries/stores/Store/capacity").by(&shop.staff);
    call.json(&json!({"per_hour": 1}))
        .await
        .refused(400, "bad-request");
    // What a store delivers anyway needs no saying.
    let call = app
        .put("/deliveries/stores/store-2/capacity")
        .by(&shop.staff);
    assert_eq!(
        call.json(&json!({"per_hour": 1000})).await.ok().body["version"],
        0
    );
}
