//! One event of every type, with every member present.

use std::collections::BTreeMap;

use cqrs_es::DomainEvent;
use domain::{
    Channels, Currency, NotificationPreferences, OrderId, Price, ProductId, Quantity, Role, Sealed,
    UserId, email_claim, product, sku_claim, stock, user,
};
use serde_json::Value;

mod orders;
mod sagas;

/// An event of any aggregate, as the log stores it.
pub struct Sample {
    pub aggregate_type: &'static str,
    pub event_type: String,
    pub event_version: String,
    pub payload: Value,
    /// As the golden files are written: the members in stored order, a line each.
    pub pretty: String,
}

pub const ORDER_ID: &str = "0198f000-0000-7000-8000-00000000000a";
pub const PRODUCT_ID: &str = "0198f000-0000-7000-8000-00000000000b";
pub const USER_ID: &str = "0198f000-0000-7000-8000-00000000000c";

/// Every sample of every aggregate.
pub fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    samples.extend(user_events().iter().map(|event| sample("user", event)));
    samples.extend(email_events().iter().map(|event| sample("email", event)));
    samples.extend(
        product_events()
            .iter()
            .map(|event| sample("product", event)),
    );
    samples.extend(sku_events().iter().map(|event| sample("sku", event)));
    samples.extend(stock_events().iter().map(|event| sample("stock", event)));
    samples.extend(orders::all());
    samples.extend(sagas::all());
    samples
}

fn samples<E: DomainEvent>(aggregate_type: &'static str, events: &[E]) -> Vec<Sample> {
    let sample = |event: &E| sample(aggregate_type, event);
    events.iter().map(sample).collect()
}

fn sample(aggregate_type: &'static str, event: &impl DomainEvent) -> Sample {
    Sample {
        aggregate_type,
        event_type: event.event_type(),
        event_version: event.event_version(),
        payload: serde_json::to_value(event).unwrap(),
        pretty: serde_json::to_string_pretty(event).unwrap() + "\n",
    }
}

fn user_id() -> UserId {
    USER_ID.parse().unwrap()
}

fn order_id() -> OrderId {
    ORDER_ID.parse().unwrap()
}

fn pieces(number: u32) -> Quantity {
    Quantity::new(number).unwrap()
}

/// Sixteen bytes of tag and as many of text, as a seal has them.
fn seal<T>(first: u8) -> Sealed<T> {
    Sealed::new(USER_ID, (first..first + 32).collect())
}

fn user_events() -> Vec<user::Event> {
    vec![
        user::Event::Registered {
            email: seal(0),
            name: seal(32),
            phone: Some(seal(64)),
            role: Role::Customer,
        },
        user::Event::Updated {
            name: seal(96),
            phone: Some(seal(128)),
            email: Some(seal(160)),
        },
        user::Event::AddressAdded { address: seal(192) },
        user::Event::PreferencesChanged {
            notification_preferences: NotificationPreferences {
                delivery: Channels {
                    email: true,
                    webhook: true,
                    log: false,
                },
                ..NotificationPreferences::default()
            },
        },
        user::Event::RoleAssigned { role: Role::Staff },
        user::Event::PasswordChanged,
        user::Event::Deactivated,
        user::Event::Erased,
    ]
}

fn email_events() -> Vec<email_claim::Event> {
    vec![
        email_claim::Event::Claimed { user_id: user_id() },
        email_claim::Event::Released,
    ]
}

fn product_events() -> Vec<product::Event> {
    let price = |amount_minor| Price::new(amount_minor, Currency::EUR).unwrap();
    let category = || {
        vec!["Alcoholic Beverages".to_owned(), "Beer".to_owned()]
            .try_into()
            .unwrap()
    };
    let attributes = || {
        let entries = [("tier", "premium"), ("weight_g", "500")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        BTreeMap::from(entries).try_into().unwrap()
    };
    vec![
        product::Event::Created {
            sku: "AB-BEE-001".parse().unwrap(),
            name: "Craft lager".parse().unwrap(),
            brand: Some("SummitForge".parse().unwrap()),
            description: Some("Bottom-fermented,\nunfiltered.".parse().unwrap()),
            category: category(),
            size: Some("500 ml bottle".parse().unwrap()),
            attributes: attributes(),
            price: price(499),
        },
        product::Event::Updated(product::Details {
            name: "Craft lager, cold".parse().unwrap(),
            brand: Some("SummitForge".parse().unwrap()),
            description: Some("Chilled.".parse().unwrap()),
            category: category(),
            size: Some("500 ml bottle".parse().unwrap()),
            attributes: attributes(),
        }),
        product::Event::PriceChanged { price: price(549) },
        product::Event::Discontinued,
    ]
}

fn sku_events() -> Vec<sku_claim::Event> {
    let product_id: ProductId = PRODUCT_ID.parse().unwrap();
    vec![sku_claim::Event::Claimed { product_id }]
}

fn stock_events() -> Vec<stock::Event> {
    let stock::StockId { store_id, sku } = "store-1:AB-BEE-001".parse().unwrap();
    let (store_id, sku) = (|| store_id.clone(), || sku.clone());
    let (order_id, quantity) = (order_id(), pieces);
    vec![
        stock::Event::Received {
            store_id: store_id(),
            sku: sku(),
            quantity: quantity(40),
            on_hand: 40,
            reserved: 0,
        },
        stock::Event::Adjusted {
            store_id: store_id(),
            sku: sku(),
            expected: 40,
            reason: "broken bottles".parse().unwrap(),
            on_hand: 38,
            reserved: 0,
        },
        stock::Event::Reserved {
            store_id: store_id(),
            sku: sku(),
            order_id,
            quantity: quantity(28),
            on_hand: 38,
            reserved: 28,
        },
        stock::Event::LowStock {
            store_id: store_id(),
            sku: sku(),
            available: 10,
            threshold: 10,
            on_hand: 38,
            reserved: 28,
        },
        stock::Event::OutOfStock {
            store_id: store_id(),
            sku: sku(),
            on_hand: 38,
            reserved: 38,
        },
        stock::Event::Released {
            store_id: store_id(),
            sku: sku(),
            order_id,
            quantity: quantity(8),
            on_hand: 38,
            reserved: 30,
        },
        stock::Event::Committed {
            store_id: store_id(),
            sku: sku(),
            order_id,
            quantity: quantity(30),
            on_hand: 8,
            reserved: 0,
        },
        stock::Event::Returned {
            store_id: store_id(),
            sku: sku(),
            order_id,
            quantity: quantity(1),
            on_hand: 9,
            reserved: 0,
        },
    ]
}
