//! Read models to ask.

use std::collections::BTreeMap;

use read_models::deliveries::{self, Delivery};
use read_models::notifications::{self, Notification};
use read_models::payments::{self, Payment};
use read_models::products::{self, Money, Product};
use read_models::search::{self, DirectoryId, Document, ProductPart, SearchWriter, StockPart};
use read_models::stock::{self, Stock};
use read_models::timeline;
use read_models::users::{self, User};
use read_models::{Checkpoint, checkpoints, generations, orders};
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

use crate::Api;

pub fn at(position: i64) -> Checkpoint {
    Checkpoint {
        position,
        event_id: Some(Uuid::from_u128(position.unsigned_abs().into())),
    }
}

pub fn product(n: u32) -> Product {
    Product {
        id: format!("0198c0de-0000-7000-8000-{n:012}"),
        sku: format!("sku-{n}"),
        name: format!("Product {n}"),
        brand: Some("Farm".to_owned()),
        description: None,
        category: vec!["Food".to_owned(), "Fruit".to_owned()],
        size: Some("1 kg".to_owned()),
        attributes: BTreeMap::from([("origin".to_owned(), "Spain".to_owned())]),
        price: euros(199),
        status: products::Status::Active,
        version: 3,
    }
}

pub fn euros(amount_minor: i64) -> Money {
    Money {
        amount_minor,
        currency: "EUR".to_owned(),
    }
}

pub fn pieces(store_id: &str, sku: &str) -> Stock {
    Stock {
        store_id: store_id.to_owned(),
        sku: sku.to_owned(),
        on_hand: 10,
        reserved: 3,
        available: 7,
        version: 2,
    }
}

fn told(email: bool) -> users::Channels {
    users::Channels {
        email,
        webhook: false,
        log: false,
    }
}

pub fn user(id: &str) -> User {
    User {
        id: id.to_owned(),
        email: Some(format!("{id}@example.com")),
        name: Some("Ada".to_owned()),
        phone: None,
        addresses: Vec::new(),
        notification_preferences: users::NotificationPreferences {
            order: told(true),
            payment: told(false),
            delivery: told(true),
            account: told(true),
        },
        status: users::Status::Active,
        role: users::Role::Customer,
        version: 1,
    }
}

/// A generation with these rows goes live at a position.
pub async fn go_live(pool: &PgPool, model: &str, rows: Rows<'_>, position: i64) {
    generations::ensure(pool, model).await.unwrap();
    let begun = generations::begin_building(pool, model, 0).await.unwrap();
    let generation = begun.generation;
    let tables = read_models::IN_TABLES.iter().find(|it| it.name == model);
    let mut connection = pool.acquire().await.unwrap();
    tables
        .unwrap()
        .create_generation(&mut connection, generation)
        .await
        .unwrap();
    let written = match rows {
        Rows::Products(rows) => products::upsert(pool, generation, rows).await,
        Rows::Stock(rows) => stock::upsert(pool, generation, rows).await,
        Rows::Users(rows) => users::upsert(pool, generation, rows).await,
        Rows::Orders(rows) => orders::upsert(pool, generation, rows).await,
        Rows::Payments(rows) => payments::upsert(pool, generation, rows).await,
        Rows::Deliveries(rows) => deliveries::upsert(pool, generation, rows).await,
        Rows::Notifications(rows) => notifications::upsert(pool, generation, rows).await,
        Rows::Timeline(rows) => timeline::insert(pool, generation, rows).await,
    };
    written.unwrap();
    checkpoints::create(pool, model, generation).await.unwrap();
    advance(pool, model, generation, position).await;
    let shape = read_models::shape(model).unwrap();
    generations::switch(pool, model, generation, shape)
        .await
        .unwrap();
}

pub enum Rows<'a> {
    Products(&'a [Product]),
    Stock(&'a [Stock]),
    Users(&'a [User]),
    Orders(&'a [orders::Row]),
    Payments(&'a [Payment]),
    Deliveries(&'a [Delivery]),
    Notifications(&'a [Notification]),
    Timeline(&'a [timeline::Entry]),
}

pub async fn advance(executor: impl PgExecutor<'_>, model: &str, generation: i32, to: i64) {
    checkpoints::publish(executor, model, generation, &at(to))
        .await
        .unwrap();
}

/// An active product for the index, with some pieces at `store-1` if any.
pub fn document(sku: &str, name: &str, brand: &str, price: i64, available: i64) -> Document {
    let mut document = Document::new(sku);
    document.product = Some(ProductPart {
        id: format!("id-{sku}"),
        name: name.to_owned(),
        brand: Some(brand.to_owned()),
        description: None,
        category: vec!["Food".to_owned(), brand.to_owned()],
        size: None,
        attributes: BTreeMap::new(),
        price: euros(price),
        status: products::Status::Active,
        version: 1,
    });
    if available > 0 {
        let part = StockPart {
            on_hand: available,
            reserved: 0,
            available,
            version: 1,
        };
        document.stock.insert("store-1".to_owned(), part);
    }
    document
}

/// Makes an index of this epoch and lets the lease's row name it.
pub async fn publish_index(
    api: &Api,
    generation: i32,
    epoch: i64,
    documents: &[Document],
    position: i64,
) -> SearchWriter {
    let directory = search::path(api.data.path(), generation, epoch);
    let mut writer = SearchWriter::create(&directory).unwrap();
    for document in documents {
        writer.put(document.clone()).unwrap();
    }
    writer.commit(&at(position)).unwrap();
    let id = DirectoryId::read(api.data.path()).unwrap().unwrap();
    sqlx::query(
        "insert into leases (name, holder, epoch, expires_at, location)
         values ($1, 'test', $2, now() + interval '1 hour', $3)
         on conflict (name) do update set epoch = excluded.epoch, location = excluded.location",
    )
    .bind(id.consumer())
    .bind(epoch)
    .bind(search::location(generation, epoch))
    .execute(api.pool())
    .await
    .unwrap();
    writer
}
