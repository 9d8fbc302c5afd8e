use read_models::products::{self, Status};
use read_models::stock::{self, Key, Stock};
use read_models::users::{self, Role, User};
use read_models::{Differences, search};
use serde_json::json;

use crate::seed::{euros, product};

#[test]
fn every_read_model_has_a_shape() {
    for model in read_models::IN_TABLES {
        assert_eq!(read_models::shape(model.name), Some(model.shape));
    }
    assert_eq!(read_models::shape("search@0198"), Some(search::SHAPE));
    assert_eq!(read_models::model("search@0198"), "search");
    assert_eq!(read_models::shape("invoices"), None);
}

#[tokio::test]
async fn products_are_written_many_at_a_time_and_read_by_id_and_sku() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    // Twice: a worker that was killed in between starts again.
    products::MODEL
        .create_generation(&mut connection, 1)
        .await
        .unwrap();
    products::MODEL
        .create_generation(&mut connection, 1)
        .await
        .unwrap();
    let pool = &database.pool;
    let (apple, mut pear) = (product("p1", "apple"), product("p2", "pear"));
    products::upsert(pool, 1, &[apple.clone(), pear.clone()])
        .await
        .unwrap();
    products::upsert(pool, 1, &[]).await.unwrap();

    pear.price = euros(249);
    pear.brand = None;
    pear.category = Vec::new();
    pear.status = Status::Discontinued;
    pear.version = 2;
    products::upsert(pool, 1, std::slice::from_ref(&pear))
        .await
        .unwrap();

    assert_eq!(
        products::by_id(pool, 1, "p1").await.unwrap(),
        Some(apple.clone())
    );
    assert_eq!(
        products::by_sku(pool, 1, "pear").await.unwrap(),
        Some(pear.clone())
    );
    assert_eq!(products::by_sku(pool, 1, "Pear").await.unwrap(), None);
    let loaded = products::load(pool, 1, &["p2".to_owned(), "p9".to_owned()])
        .await
        .unwrap();
    assert_eq!(loaded.into_values().collect::<Vec<_>>(), [pear]);
    assert_eq!(
        serde_json::to_value(apple).unwrap(),
        json!({
            "id": "p1", "sku": "apple", "name": "Product apple", "brand": "Brand",
            "description": null, "category": ["Food", "Fruit"], "size": "1 kg",
            "attributes": {"tier": "premium"},
            "price": {"amount_minor": 199, "currency": "EUR"},
            "status": "active", "version": 1
        })
    );
}

#[tokio::test]
async fn lists_go_on_after_the_last_one_of_the_page_before() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    products::MODEL
        .create_generation(&mut connection, 1)
        .await
        .unwrap();
    let pool = &database.pool;
    let all: Vec<_> = (0..5)
        .map(|n| product(&format!("p{n}"), &format!("sku-{n}")))
        .collect();
    products::upsert(pool, 1, &all).await.unwrap();

    let mut listed = Vec::new();
    loop {
        let after = listed
            .last()
            .map(|last: &products::Product| last.id.clone());
        let page = products::list(pool, 1, after.as_deref(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, all);
}

fn shelf(store_id: &str, sku: &str, on_hand: i64, reserved: i64) -> Stock {
    Stock {
        store_id: store_id.to_owned(),
        sku: sku.to_owned(),
        on_hand,
        reserved,
        available: on_hand - reserved,
        version: 1,
    }
}

#[tokio::test]
async fn stock_is_kept_by_store_and_sku() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    stock::MODEL
        .create_generation(&mut connection, 1)
        .await
        .unwrap();
    let pool = &database.pool;
    let rows = [
        shelf("store-1", "a", 5, 0),
        shelf("store-1", "b", 3, 1),
        shelf("store-2", "a", 1, 0),
    ];
    stock::upsert(pool, 1, &rows).await.unwrap();
    stock::upsert(pool, 1, &[shelf("store-1", "a", 4, 2)])
        .await
        .unwrap();

    let row = stock::by_key(pool, 1, "store-1", "a")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.on_hand, row.reserved, row.available), (4, 2, 2));
    let page = stock::list(pool, 1, "store-1", Some("a"), 10)
        .await
        .unwrap();
    assert_eq!(page, [rows[1].clone()]);
    let keys = [
        rows[2].key(),
        Key {
            store_id: "store-2".to_owned(),
            sku: "b".to_owned(),
        },
    ];
    let loaded = stock::load(pool, 1, &keys).await.unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[&rows[2].key()], rows[2]);
}

fn london() -> users::Address {
    users::Address {
        label: None,
        recipient: Some("Ada King".to_owned()),
        lines: vec!["12 St James's Square".to_owned()],
        postal_code: Some("SW1Y 4JH".to_owned()),
        city: "London".to_owned(),
        country: "GB".to_owned(),
        note: None,
    }
}

fn told_by_mail() -> users::NotificationPreferences {
    let mail = users::Channels {
        email: true,
        webhook: false,
        log: false,
    };
    users::NotificationPreferences {
        order: mail,
        payment: mail,
        delivery: mail,
        account: mail,
    }
}

#[tokio::test]
async fn personal_fields_are_taken_out_of_every_other_generation() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let pool = &database.pool;
    let user = |id: &str| User {
        id: id.to_owned(),
        email: Some("ada@example.org".to_owned()),
        name: Some("Ada".to_owned()),
        phone: Some("+4930123456".to_owned()),
        addresses: vec![london()],
        notification_preferences: told_by_mail(),
        status: users::Status::Active,
        role: Role::Customer,
        version: 1,
    };
    for generation in [1, 2, 10] {
        users::MODEL
            .create_generation(&mut connection, generation)
            .await
            .unwrap();
        users::upsert(pool, generation, &[user("u1"), user("u2")])
            .await
            .unwrap();
    }
    let ids = ["u1".to_owned()];
    users::blank_elsewhere(&mut connection, 2, &ids)
        .await
        .unwrap();
    let blank = User {
        email: None,
        name: None,
        phone: None,
        addresses: Vec::new(),
        ..user("u1")
    };
    for (generation, expected) in [(1, blank.clone()), (2, user("u1")), (10, blank)] {
        let found = users::by_id(pool, generation, "u1").await.unwrap();
        assert_eq!(found, Some(expected), "generation {generation}");
        let other = users::by_id(pool, generation, "u2").await.unwrap();
        assert_eq!(other, Some(user("u2")));
    }
}

#[tokio::test]
async fn an_erased_user_has_no_personal_fields_left() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    users::MODEL
        .create_generation(&mut connection, 1)
        .await
        .unwrap();
    let pool = &database.pool;
    let mut user = User {
        id: "u1".to_owned(),
        email: Some("ada@example.org".to_owned()),
        name: Some("Ada".to_owned()),
        phone: None,
        addresses: vec![london()],
        notification_preferences: told_by_mail(),
        status: users::Status::Active,
        role: Role::Customer,
        version: 1,
    };
    users::upsert(pool, 1, std::slice::from_ref(&user))
        .await
        .unwrap();
    assert_eq!(
        users::by_id(pool, 1, "u1").await.unwrap(),
        Some(user.clone())
    );

    user.email = None;
    user.name = None;
    user.addresses = Vec::new();
    user.status = users::Status::Erased;
    users::upsert(pool, 1, std::slice::from_ref(&user))
        .await
        .unwrap();
    let loaded = users::load(pool, 1, &["u1".to_owned()]).await.unwrap();
    assert_eq!(loaded["u1"], user);
    assert_eq!(
        users::list(pool, 1, None, 10).await.unwrap(),
        [user.clone()]
    );
    assert_eq!(users::list(pool, 1, Some("u1"), 10).await.unwrap(), []);
    assert_eq!(serde_json::to_value(user).unwrap()["role"], "customer");
}

#[tokio::test]
async fn generations_are_compared_by_key_and_dropped_alone() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    for generation in [1, 2] {
        products::MODEL
            .create_generation(&mut connection, generation)
            .await
            .unwrap();
        let same = product("p1", "same");
        products::upsert(&mut *connection, generation, &[same])
            .await
            .unwrap();
    }
    let equal = products::MODEL
        .compare(&mut connection, 1, 2)
        .await
        .unwrap();
    assert!(equal.is_empty());
    assert_eq!(
        equal,
        Differences {
            live_rows: 1,
            rebuilt_rows: 1,
            ..Differences::default()
        }
    );

    let mut changed = product("p2", "changed");
    products::upsert(
        &mut *connection,
        1,
        &[changed.clone(), product("p3", "gone")],
    )
    .await
    .unwrap();
    changed.price = euros(1);
    products::upsert(&mut *connection, 2, &[changed, product("p4", "new")])
        .await
        .unwrap();
    let differences = products::MODEL
        .compare(&mut connection, 1, 2)
        .await
        .unwrap();
    assert_eq!(
        (
            differences.live_rows,
            differences.rebuilt_rows,
            differences.count
        ),
        (3, 3, 3)
    );
    let keys: Vec<_> = differences.first.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["p2", "p3", "p4"]);
    assert_eq!(
        differences.first[0].rebuilt.as_ref().unwrap()["amount_minor"],
        1
    );
    assert!(differences.first[1].rebuilt.is_none());
    assert!(differences.first[2].live.is_none());

    products::MODEL
        .drop_generation(&mut *connection, 2)
        .await
        .unwrap();
    products::MODEL
        .drop_generation(&mut *connection, 2)
        .await
        .unwrap();
    assert!(products::by_id(&mut *connection, 2, "p1").await.is_err());
    assert!(
        products::by_id(&mut *connection, 1, "p1")
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_report_counts_all_differences_and_shows_the_first_twenty() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    for generation in [1, 2] {
        stock::MODEL
            .create_generation(&mut connection, generation)
            .await
            .unwrap();
    }
    let rows: Vec<_> = (0..30)
        .map(|n| shelf("store-1", &format!("{n:02}"), n, 0))
        .collect();
    stock::upsert(&mut *connection, 1, &rows).await.unwrap();
    let differences = stock::MODEL.compare(&mut connection, 1, 2).await.unwrap();
    assert_eq!((differences.count, differences.first.len()), (30, 20));
    assert_eq!(differences.first[0].key, "store-1:00");
}
