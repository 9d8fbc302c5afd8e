//! What each event makes of each model in tables.

use std::collections::BTreeMap;

use domain::{product, stock, user};
use projections::ReadModel;
use read_models::products::{self, Money, Product, Status};
use read_models::stock::Stock;
use read_models::users::{self, Role};
use tokio_util::sync::CancellationToken;

use crate::shop::{REPLAY, STORE, Shop, open_store};

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
    assert!(ada.addresses.is_empty() && ada.notification_preferences.is_object());

    sqlx::query("delete from data_keys where subject = $1")
        .bind(&id)
        .execute(shop.pool())
        .await
        .unwrap();
    // Another process: this one still has the key in memory, for a minute.
    let store = open_store(shop.pool()).await;
    let later = Shop { store, ..shop };
    later.request("users", REPLAY).await;
    let worker = later.worker(ReadModel::Users, "later");
    assert!(
        worker
            .run_until_idle(&CancellationToken::new())
            .await
            .unwrap()
    );
    let rebuilt = later.reached(ReadModel::Users, head).await;
    assert_eq!(rebuilt, generation + 1);
    let ada = users::by_id(later.pool(), rebuilt, &id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((ada.email, ada.name, ada.role), (None, None, Role::Staff));
    let bob = users::by_id(later.pool(), rebuilt, &kept)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bob.email.as_deref(), Some("bob@example.org"));
}
