//! What the program itself does: the first administrator, the demo catalogue.

use command_api::products::NewProduct;
use command_api::{Password, derived_context, inventory, problems, products, users};
use domain::product::{Attributes, Category, Details};
use domain::stock::StockId;
use domain::{Currency, Price, Quantity};
use futures::future::try_join_all;
use http_server::{Problem, Role};

use crate::app::TestApp;

/// As many as the demo catalogue has.
const PRODUCTS: usize = 708;

#[tokio::test]
async fn an_administrator_is_made_once() {
    let app = TestApp::start().await;
    let email = || "root@example.org".parse().unwrap();
    let made = users::create_administrator(&app.store, email(), None)
        .await
        .unwrap();
    let password = made.drawn_password.unwrap();
    let session = app.login("root@example.org", password.as_str()).await.ok();
    let caller = app.verifier.verify(&session.text("access_token")).unwrap();
    assert_eq!(
        (caller.user_id, caller.role),
        (made.id.to_string(), Role::Admin)
    );

    let again = users::create_administrator(&app.store, email(), None)
        .await
        .unwrap_err();
    assert_eq!(again.kind(), problems::EMAIL_TAKEN);
    let given: Password = "a given password".parse().unwrap();
    let email = "second@example.org".parse().unwrap();
    let made = users::create_administrator(&app.store, email, Some(given))
        .await
        .unwrap();
    assert!(made.drawn_password.is_none());
    app.login("second@example.org", "a given password")
        .await
        .ok();
}

#[tokio::test]
async fn a_catalogue_is_seeded_at_once_and_only_once() {
    let app = TestApp::start().await;
    seed(&app).await.unwrap();
    let events = app.count("events").await;
    assert_eq!(events, i64::try_from(PRODUCTS * 3).unwrap());
    seed(&app).await.unwrap();
    assert_eq!(app.count("events").await, events);
}

async fn seed(app: &TestApp) -> Result<(), Problem> {
    try_join_all((0..PRODUCTS).map(|number| async move {
        let sku = format!("SEED-{number}");
        let context = derived_context(&app.store, "create", "seed-product", &sku);
        let new = NewProduct {
            sku: sku.parse().unwrap(),
            price: Price::new(100, Currency::EUR).unwrap(),
            details: Details {
                name: sku.parse().unwrap(),
                brand: None,
                description: None,
                category: Category::default(),
                size: None,
                attributes: Attributes::default(),
            },
        };
        products::create(&app.store, context, new).await?;
        let context = derived_context(&app.store, "receive", "seed-stock", &sku);
        let id = StockId::new("store-1".parse().unwrap(), sku.parse().unwrap());
        inventory::receive(&app.store, context, id, Quantity::new(20).unwrap()).await
    }))
    .await?;
    Ok(())
}
