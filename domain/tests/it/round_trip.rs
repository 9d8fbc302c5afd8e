//! Whatever an event holds, it is read back as it was written.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::str::FromStr;

use cqrs_es::DomainEvent;
use domain::{
    Channels, Currency, NotificationPreferences, OrderId, Price, ProductId, Quantity, Reason, Role,
    Sealed, Sku, StoreId, UserId, email_claim, product, sku_claim, stock, user,
};
use proptest::option;
use proptest::prelude::*;
use uuid::Uuid;

mod orders;

/// Text as the value types take it: no control characters, no white space around it.
const TEXT: &str = r"[^\p{C}\p{Z}]([^\p{C}]{0,30}[^\p{C}\p{Z}])?";

fn returns(event: &impl DomainEvent) -> Result<(), TestCaseError> {
    let stored = serde_json::to_string(event).unwrap();
    let read = serde_json::from_str(&stored)
        .map_err(|error| TestCaseError::fail(format!("{error}: {stored}")))?;
    prop_assert_eq!(event, &read);
    let tag = format!("{{\"type\":\"{}\"", event.event_type());
    prop_assert!(stored.starts_with(&tag), "{}", stored);
    Ok(())
}

fn text<T: FromStr<Err = domain::Invalid> + Debug>() -> impl Strategy<Value = T> {
    TEXT.prop_map(|raw| raw.parse().unwrap_or_else(|_| panic!("{raw:?} is refused")))
}

fn sku() -> impl Strategy<Value = Sku> {
    "[A-Za-z0-9._-]{1,64}".prop_map(|raw| raw.parse().unwrap())
}

fn store_id() -> impl Strategy<Value = StoreId> {
    "[a-z0-9-]{1,40}".prop_map(|raw| raw.parse().unwrap())
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn seal<T: Debug>() -> impl Strategy<Value = Sealed<T>> {
    (uuid(), proptest::collection::vec(any::<u8>(), 0..80))
        .prop_map(|(subject, bytes)| Sealed::new(subject.to_string(), bytes))
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![
        Just(Role::Customer),
        Just(Role::Courier),
        Just(Role::Staff),
        Just(Role::Admin)
    ]
}

fn preferences() -> impl Strategy<Value = NotificationPreferences> {
    let channels = || {
        any::<(bool, bool, bool)>().prop_map(|(email, webhook, log)| Channels {
            email,
            webhook,
            log,
        })
    };
    (channels(), channels(), channels(), channels()).prop_map(
        |(order, payment, delivery, account)| NotificationPreferences {
            order,
            payment,
            delivery,
            account,
        },
    )
}

fn price() -> impl Strategy<Value = Price> {
    let currency = prop_oneof![
        Just(Currency::EUR),
        Just(Currency::JPY),
        Just(Currency::TND)
    ];
    (0..=Price::AMOUNT_MINOR_MAX, currency)
        .prop_map(|(amount, currency)| Price::new(amount, currency).unwrap())
}

fn details() -> impl Strategy<Value = product::Details> {
    let category =
        proptest::collection::vec(TEXT, 0..5).prop_map(|levels| levels.try_into().unwrap());
    let attributes = proptest::collection::btree_map(TEXT, TEXT, 0..20)
        .prop_map(|entries: BTreeMap<String, String>| entries.try_into().unwrap());
    (
        text(),
        option::of(text()),
        option::of(text()),
        category,
        option::of(text()),
        attributes,
    )
        .prop_map(
            |(name, brand, description, category, size, attributes)| product::Details {
                name,
                brand,
                description,
                category,
                size,
                attributes,
            },
        )
}

fn created((sku, price, details): (Sku, Price, product::Details)) -> product::Event {
    let product::Details {
        name,
        brand,
        description,
        category,
        size,
        attributes,
    } = details;
    product::Event::Created {
        sku,
        name,
        brand,
        description,
        category,
        size,
        attributes,
        price,
    }
}

fn product_event() -> impl Strategy<Value = product::Event> {
    prop_oneof![
        (sku(), price(), details()).prop_map(created),
        details().prop_map(product::Event::Updated),
        price().prop_map(|price| product::Event::PriceChanged { price }),
        Just(product::Event::Discontinued),
    ]
}

fn user_event() -> impl Strategy<Value = user::Event> {
    prop_oneof![
        (seal(), seal(), option::of(seal()), role()).prop_map(|(email, name, phone, role)| {
            user::Event::Registered {
                email,
                name,
                phone,
                role,
            }
        }),
        (seal(), option::of(seal()), option::of(seal()))
            .prop_map(|(name, phone, email)| user::Event::Updated { name, phone, email }),
        seal().prop_map(|address| user::Event::AddressAdded { address }),
        preferences().prop_map(|notification_preferences| user::Event::PreferencesChanged {
            notification_preferences
        }),
        role().prop_map(|role| user::Event::RoleAssigned { role }),
        Just(user::Event::PasswordChanged),
        Just(user::Event::Deactivated),
        Just(user::Event::Erased),
    ]
}

fn stock_event() -> impl Strategy<Value = stock::Event> {
    use stock::Event::{
        Adjusted, Committed, LowStock, OutOfStock, Received, Released, Reserved, Returned,
    };
    let order_id = uuid().prop_map(OrderId::new);
    let quantity = (1..=Quantity::MAX).prop_map(|pieces| Quantity::new(pieces).unwrap());
    let adjustment = (any::<u32>(), text::<Reason>());
    let counts = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (
        0..8,
        store_id(),
        sku(),
        order_id,
        quantity,
        adjustment,
        counts,
    )
        .prop_map(
            |(
                kind,
                store_id,
                sku,
                order_id,
                quantity,
                (expected, reason),
                (on_hand, reserved, available, threshold),
            )| {
                match kind {
                    0 => Received {
                        store_id,
                        sku,
                        quantity,
                        on_hand,
                        reserved,
                    },
                    1 => Adjusted {
                        store_id,
                        sku,
                        expected,
                        reason,
                        on_hand,
                        reserved,
                    },
                    2 => Reserved {
                        store_id,
                        sku,
                        order_id,
                        quantity,
                        on_hand,
                        reserved,
                    },
                    3 => Released {
                        store_id,
                        sku,
                        order_id,
                        quantity,
                        on_hand,
                        reserved,
                    },
                    4 => Committed {
                        store_id,
                        sku,
                        order_id,
                        quantity,
                        on_hand,
                        reserved,
                    },
                    5 => Returned {
                        store_id,
                        sku,
                        order_id,
                        quantity,
                        on_hand,
                        reserved,
                    },
                    6 => LowStock {
                        store_id,
                        sku,
                        available,
                        threshold,
                        on_hand,
                        reserved,
                    },
                    _ => OutOfStock {
                        store_id,
                        sku,
                        on_hand,
                        reserved,
                    },
                }
            },
        )
}

proptest! {
    #[test]
    fn product_events_return(event in product_event()) {
        returns(&event)?;
    }

    #[test]
    fn user_events_return(event in user_event()) {
        returns(&event)?;
    }

    #[test]
    fn stock_events_return(event in stock_event()) {
        returns(&event)?;
    }

    #[test]
    fn claims_return(id in uuid()) {
        returns(&sku_claim::Event::Claimed { product_id: ProductId::new(id) })?;
        returns(&email_claim::Event::Claimed { user_id: UserId::new(id) })?;
        returns(&email_claim::Event::Released)?;
    }
}

#[test]
fn members_that_a_newer_writer_adds_are_passed_over() {
    let stored = r#"{"type":"product.price-changed","price":{"amount_minor":1,"currency":"EUR"},"reason":"sale"}"#;
    assert!(serde_json::from_str::<product::Event>(stored).is_ok());
}
