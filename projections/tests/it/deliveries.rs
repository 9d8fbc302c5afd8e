//! What deliveries show, and what is left of them once their customer is erased.

use domain::{Sealed, delivery};
use projections::ReadModel;
use projections::verify::verify;
use read_models::deliveries::{self, Status};
use tokio_util::sync::CancellationToken;

use crate::models::{erase, home};
use crate::ordering::{Basket, slot};
use crate::orders::is_as_rebuilt;
use crate::shop::{REPLAY, Shop};

const MODEL: ReadModel = ReadModel::Deliveries;

async fn address(shop: &Shop, user: &str) -> Sealed<domain::Address> {
    let key = shop.store.sealer().key(user).await.unwrap().unwrap();
    let json = serde_json::to_string(&home()).unwrap();
    Sealed::new(user, key.seal(json.as_bytes()))
}

async fn in_generation(shop: &Shop, generation: i32, basket: &Basket) -> deliveries::Delivery {
    let id = basket.delivery_id.to_string();
    let found = deliveries::by_id(shop.pool(), generation, &id).await;
    found.unwrap().unwrap()
}

async fn shown(shop: &Shop, basket: &Basket, position: i64) -> deliveries::Delivery {
    shop.bring_up(MODEL).await;
    let generation = shop.reached(MODEL, position).await;
    in_generation(shop, generation, basket).await
}

#[tokio::test]
async fn a_delivery_is_followed_over_a_second_attempt() {
    let shop = Shop::open().await;
    let (ada, _) = shop.register("ada@example.org", "Ada").await;
    let basket = Basket::of(&ada);
    let (order_id, courier_id) = (basket.order_id, basket.customer_id);
    let address = address(&shop, &ada).await;
    let position = basket
        .delivery(&shop, basket.scheduled(Some(address)))
        .await;
    let delivery = shown(&shop, &basket, position).await;
    assert_eq!(delivery.order_id, order_id.to_string());
    assert_eq!(delivery.customer_id.as_ref(), Some(&ada));
    assert_eq!(delivery.store_id.as_deref(), Some("berlin-1"));
    assert_eq!(
        (delivery.status, delivery.slot),
        (Status::Scheduled, Some(slot()))
    );
    assert_eq!(delivery.address.unwrap().lines, ["Dorset Street 1"]);
    assert_eq!((delivery.attempts, delivery.version), (0, 1));

    let assigned = || delivery::Event::Assigned {
        order_id,
        courier_id,
    };
    let position = basket.delivery(&shop, assigned()).await;
    let delivery = shown(&shop, &basket, position).await;
    assert_eq!(delivery.status, Status::Assigned);
    assert_eq!(delivery.courier_id, Some(courier_id.to_string()));

    let failed = |is_final| delivery::Event::Failed {
        order_id,
        reason: "nobody at home".parse().unwrap(),
        is_final,
    };
    let position = basket.delivery(&shop, failed(false)).await;
    let delivery = shown(&shop, &basket, position).await;
    assert_eq!((delivery.status, delivery.attempts), (Status::Scheduled, 1));
    assert_eq!((delivery.courier_id, delivery.ended_at), (None, None));
    assert_eq!(delivery.reason.as_deref(), Some("nobody at home"));

    basket.delivery(&shop, assigned()).await;
    let position = basket
        .delivery(&shop, delivery::Event::PickedUp { order_id })
        .await;
    let delivery = shown(&shop, &basket, position).await;
    assert_eq!(delivery.status, Status::PickedUp);
    let position = basket
        .delivery(&shop, delivery::Event::Completed { order_id })
        .await;
    let delivery = shown(&shop, &basket, position).await;
    assert_eq!((delivery.status, delivery.attempts), (Status::Completed, 2));
    assert_eq!(delivery.courier_id, Some(courier_id.to_string()));
    assert_eq!(delivery.ended_at, Some(delivery.updated_at));
    assert!(delivery.address.is_some() && delivery.updated_at > delivery.created_at);
    is_as_rebuilt(&shop, MODEL).await;
}

#[tokio::test]
async fn a_delivery_that_was_never_booked_is_shown_as_far_as_it_is_known() {
    let shop = Shop::open().await;
    let refused = Basket::somebodys();
    let nobody = delivery::Event::Failed {
        order_id: refused.order_id,
        reason: "no delivery slot is free".parse().unwrap(),
        is_final: true,
    };
    let position = refused.delivery(&shop, nobody).await;
    let delivery = shown(&shop, &refused, position).await;
    assert_eq!((delivery.status, delivery.attempts), (Status::Failed, 0));
    assert_eq!((delivery.customer_id, delivery.slot), (None, None));
    let called_off = Basket::somebodys();
    let order_id = called_off.order_id;
    let cancelled = delivery::Event::Cancelled { order_id };
    let position = called_off.delivery(&shop, cancelled).await;
    let delivery = shown(&shop, &called_off, position).await;
    assert_eq!(delivery.status, Status::Cancelled);
    assert!(delivery.ended_at.is_some());
    is_as_rebuilt(&shop, MODEL).await;
}

#[tokio::test]
async fn an_address_is_gone_with_its_user_from_every_generation_and_after_a_replay() {
    let shop = Shop::open().await;
    let (ada, _) = shop.register("ada@example.org", "Ada").await;
    let (bob, _) = shop.register("bob@example.org", "Bob").await;
    let (hers, his) = (Basket::of(&ada), Basket::of(&bob));
    let address_of = async |user: &str| Some(address(&shop, user).await);
    hers.delivery(&shop, hers.scheduled(address_of(&ada).await))
        .await;
    let head = his
        .delivery(&shop, his.scheduled(address_of(&bob).await))
        .await;
    shop.bring_up(MODEL).await;
    let first = shop.reached(MODEL, head).await;
    shop.request(MODEL.name(), REPLAY).await;
    shop.bring_up(MODEL).await;
    let live = shop.reached(MODEL, head).await;
    assert_eq!(live, first + 1);
    // One that nobody follows, as after an upgrade: it has the row, and no worker.
    let left = live + 7;
    let row = in_generation(&shop, live, &hers).await;
    assert!(row.address.is_some());
    let mut connection = shop.pool().acquire().await.unwrap();
    deliveries::MODEL
        .create_generation(&mut connection, left)
        .await
        .unwrap();
    deliveries::upsert(&mut *connection, left, &[row])
        .await
        .unwrap();
    drop(connection);

    // What this program does not know of a user does not keep the erasure from its effect.
    shop.plant("user", &ada, "user.promoted", r#"{"type":"user.promoted"}"#)
        .await;
    let erased = r#"{"type":"user.erased"}"#;
    shop.plant("user", &ada, "user.erased", erased).await;
    let order_id = hers.order_id;
    let head = hers
        .delivery(&shop, delivery::Event::Cancelled { order_id })
        .await;
    sqlx::query("delete from data_keys where subject = $1")
        .bind(&ada)
        .execute(shop.pool())
        .await
        .unwrap();
    shop.bring_up(MODEL).await;
    shop.reached(MODEL, head).await;
    for generation in [first, live, left] {
        let row = in_generation(&shop, generation, &hers).await;
        assert_eq!(row.address, None, "generation {generation}");
    }
    for generation in [first, live] {
        let row = in_generation(&shop, generation, &his).await;
        assert!(row.address.is_some(), "generation {generation}");
    }
    is_as_rebuilt(&shop, MODEL).await;
}

#[tokio::test]
async fn an_erasure_by_command_blanks_the_address() {
    let shop = Shop::open().await;
    let (ada, _) = shop.register("ada@example.org", "Ada").await;
    let basket = Basket::of(&ada);
    let address = address(&shop, &ada).await;
    basket
        .delivery(&shop, basket.scheduled(Some(address)))
        .await;
    let worker = shop.start(MODEL);
    let head = erase(&shop, &ada).await;
    let generation = shop.reached(MODEL, head).await;
    let row = in_generation(&shop, generation, &basket).await;
    assert_eq!((row.customer_id, row.address), (Some(ada), None));
    worker.stop().await;
}

#[tokio::test]
async fn a_changed_row_is_found_and_its_address_is_not_told() {
    let shop = Shop::open().await;
    let (ada, _) = shop.register("ada@example.org", "Ada").await;
    let basket = Basket::of(&ada);
    let address = address(&shop, &ada).await;
    let position = basket
        .delivery(&shop, basket.scheduled(Some(address)))
        .await;
    shown(&shop, &basket, position).await;
    sqlx::query(
        "update deliveries_1.deliveries
         set attempts = 9, address = jsonb_set(address, '{city}', '\"Paris\"')",
    )
    .execute(shop.pool())
    .await
    .unwrap();
    let shutdown = CancellationToken::new();
    let report = verify(&shop.store, shop.data_directory(), "verify", &shutdown)
        .await
        .unwrap();
    let [finding] = &report.findings[..] else {
        panic!("{report:?}");
    };
    let problem = "deliveries: rows that differ from a rebuild: 1";
    assert_eq!(finding.problem, problem);
    let id = basket.delivery_id;
    let place =
        format!(r#"{id}: address "personal", rebuilt "personal, another"; attempts 9, rebuilt 0"#);
    assert_eq!(finding.places, [place]);
}
