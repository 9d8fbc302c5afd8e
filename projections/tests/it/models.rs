//! What each event makes of each model in tables.

use std::collections::BTreeMap;

use domain::{Sealed, product, stock, user};
use eventstore::{CommandContext, Stream};
use projections::ReadModel;
use read_models::products::{self, Money, Product, Status};
use read_models::stock::Stock;
use read_models::users::{self, Role};

use crate::shop::{REPLAY, STORE, Shop};

#[tokio::test]
async fn a_product_is_a_row_that_shows_its_last_event() {
    let shop = Shop::open().await;
    let (id, _) = shop.create_product("apple", 199).await;
    let (other, _) = shop.create_product("pear", 250).await;
    // A thousand changes of one row are one write, whatever the batches are.
    for cents in 200..240 {
        shop.change_price(&id, cents).await;
    }
    let change = product::DetailsChange {
        brand: Some(Some("Orchard".parse().unwrap())),
        size: Some(Some("1 kg".parse().unwrap())),
        attributes: Some(
            BTreeMap::from([("tier".into(), "premium".into())])
                .try_into()
                .unwrap(),
        ),
        ..product::DetailsChange::default()
    };
    shop.product(&id, product::Command::UpdateDetails(change))
        .await;
    let head = shop.product(&other, product::Command::Discontinue).await;
    shop.bring_up(ReadModel::Products).await;

    let generation = shop.reached(ReadModel::Products, head).await;
    let found = products::by_id(shop.pool(), generation, &id)
        .await
        .unwrap()
        .unwrap();
    let expected = Product {
        id: id.clone(),
        sku: "apple".to_owned(),
        name: "Product apple".to_owned(),
        brand: Some("Orchard".to_owned()),
        description: None,
        category: vec!["Food".to_owned(), "Fruit".to_owned()],
        size: Some("1 kg".to_owned()),
        attributes: BTreeMap::from([("tier".to_owned(), "premium".to_owned())]),
        price: Money {
            amount_minor: 239,
            currency: "EUR".to_owned(),
        },
        status: Status::Active,
        version: 42,
    };
    assert_eq!(found, expected);
    let pear = products::by_sku(shop.pool(), generation, "pear")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((pear.status, pear.version), (Status::Discontinued, 2));
}

#[tokio::test]
async fn stock_is_a_row_with_the_levels_after_its_last_event() {
    let shop = Shop::open().await;
    shop.receive("apple", 5).await;
    let head = shop.receive("apple", 7).await;
    shop.bring_up(ReadModel::Stock).await;
    let generation = shop.reached(ReadModel::Stock, head).await;
    let found = read_models::stock::by_key(shop.pool(), generation, STORE, "apple")
        .await
        .unwrap();
    let expected = Stock {
        store_id: STORE.to_owned(),
        sku: "apple".to_owned(),
        on_hand: 12,
        reserved: 0,
        available: 12,
        version: 2,
    };
    assert_eq!(found, Some(expected));
    // What the stream's state says.
    let id = format!("{STORE}:apple");
    let state = shop
        .store
        .state_at::<domain::Stock>(&id, None)
        .await
        .unwrap();
    let levels = stock::Levels {
        on_hand: 12,
        reserved: 0,
    };
    assert_eq!(state, Some((domain::Stock::Tracked(levels), 2)));
}

#[tokio::test]
async fn a_user_is_a_row_in_the_clear_until_the_key_is_gone() {
    let shop = Shop::open().await;
    let (id, _) = shop.register("ada@example.org", "Ada").await;
    let (kept, _) = shop.register("bob@example.org", "Bob").await;
    let role = domain::Role::Staff;
    shop.user(&id, user::Command::AssignRole { role }).await;
    shop.user(&id, user::Command::ChangePassword).await;
    let head = shop.user(&id, user::Command::Deactivate).await;
    shop.bring_up(ReadModel::Users).await;

    let generation = shop.reached(ReadModel::Users, head).await;
    let ada = users::by_id(shop.pool(), generation, &id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(ada.email.as_deref(), Some("ada@example.org"));
    assert_eq!(ada.name.as_deref(), Some("Ada"));
    assert_eq!((ada.phone, ada.role, ada.version), (None, Role::Staff, 4));
    assert_eq!(ada.status, users::Status::Deactivated);
    assert!(ada.addresses.is_empty());
    assert!(ada.notification_preferences.order.email, "the default");

    sqlx::query("delete from data_keys where subject = $1")
        .bind(&id)
        .execute(shop.pool())
        .await
        .unwrap();
    // At once, also in a process that has used it before.
    shop.request("users", REPLAY).await;
    shop.bring_up(ReadModel::Users).await;
    let rebuilt = shop.reached(ReadModel::Users, head).await;
    assert_eq!(rebuilt, generation + 1);
    let ada = users::by_id(shop.pool(), rebuilt, &id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ada.email, ada.name, ada.role), (None, None, Role::Staff));
    let bob = users::by_id(shop.pool(), rebuilt, &kept)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bob.email.as_deref(), Some("bob@example.org"));
}

pub fn home() -> domain::Address {
    serde_json::from_str(r#"{"lines":["Dorset Street 1"],"city":"London","country":"GB"}"#).unwrap()
}

/// Everything that can be said of a user is said; the position of the last of it.
async fn tell_all(shop: &Shop, id: &str) -> i64 {
    let key = shop.store.sealer().key(id).await.unwrap().unwrap();
    let seal = |text: &str| key.seal(text.as_bytes());
    let state = shop.store.state_at::<domain::User>(id, None).await.unwrap();
    let from = state.unwrap().0.account().unwrap().email.clone();
    let change = user::ProfileChange {
        phone: Some(Some(Sealed::new(id, seal("+4930123456")))),
        email: Some(user::EmailChange {
            from,
            to: Sealed::new(id, seal("Ada@example.org")),
        }),
        ..user::ProfileChange::default()
    };
    shop.user(id, user::Command::UpdateProfile(change)).await;
    let address = seal(&serde_json::to_string(&home()).unwrap());
    let address = Sealed::new(id, address);
    shop.user(id, user::Command::AddAddress(address)).await;
    let none = domain::NotificationPreferences::NONE;
    shop.user(id, user::Command::ChangePreferences(none)).await
}

pub async fn erase(shop: &Shop, id: &str) -> i64 {
    let context = CommandContext {
        erased_subjects: vec![id.to_owned()],
        ..CommandContext::new("erase")
    };
    let decide = |user: &domain::User| user.decide(user::Command::Erase { email: None });
    let stream = Stream::<domain::User>::new(id);
    let executed = shop.store.execute(stream, context, decide).await;
    executed.unwrap().position
}

#[tokio::test]
async fn an_erased_user_is_blank_at_once_in_every_generation_and_after_a_replay() {
    let shop = Shop::open().await;
    let (id, _) = shop.register("ada@example.org", "Ada").await;
    let head = tell_all(&shop, &id).await;
    shop.bring_up(ReadModel::Users).await;
    let first = shop.reached(ReadModel::Users, head).await;
    shop.request("users", REPLAY).await;
    shop.bring_up(ReadModel::Users).await;
    let live = shop.reached(ReadModel::Users, head).await;
    assert_eq!(live, first + 1);
    let in_generation =
        async |generation| users::by_id(shop.pool(), generation, &id).await.unwrap();
    let ada = in_generation(live).await.unwrap();
    assert_eq!(ada.email.as_deref(), Some("Ada@example.org"));
    assert_eq!(ada.phone.as_deref(), Some("+4930123456"));
    assert_eq!(ada.addresses[0].lines, ["Dorset Street 1"]);
    assert!(!ada.notification_preferences.order.email);

    // One that nobody follows, as after an upgrade: it has the row, and no worker.
    let left = live + 7;
    let mut connection = shop.pool().acquire().await.unwrap();
    users::MODEL
        .create_generation(&mut connection, left)
        .await
        .unwrap();
    users::upsert(&mut *connection, left, std::slice::from_ref(&ada))
        .await
        .unwrap();

    let head = erase(&shop, &id).await;
    shop.bring_up(ReadModel::Users).await;
    shop.reached(ReadModel::Users, head).await;
    let blank = in_generation(live).await.unwrap();
    assert_eq!(blank.status, users::Status::Erased);
    assert_eq!((&blank.id, blank.role), (&id, Role::Customer));
    for generation in [first, live, left] {
        let row = in_generation(generation).await.unwrap();
        assert_eq!((row.email, row.name, row.phone), (None, None, None));
        assert!(row.addresses.is_empty(), "generation {generation}");
    }
    assert_eq!(in_generation(first).await, Some(blank.clone()), "followed");

    shop.request("users", REPLAY).await;
    shop.bring_up(ReadModel::Users).await;
    let rebuilt = shop.reached(ReadModel::Users, head).await;
    assert_eq!(rebuilt, live + 1);
    assert_eq!(in_generation(rebuilt).await, Some(blank));
}
