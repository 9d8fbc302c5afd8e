//! The business of a quick-commerce shop, pure: no clock, no randomness, no I/O. Ids and times arrive in commands.
//!
//! One aggregate a file: its commands, events, refusals, state, rules and their tests. `decide` answers a command with
//! events or a refusal and changes nothing; `apply` takes a recorded event into the state and never refuses. A rule over
//! several streams is a function of the states it names ([`product::create`], [`user::register`]); its events are
//! appended together.
//!
//! Events outlive the code: their stored form is frozen by `tests/golden`, older forms are lifted by [`upcasters`].
//!
//! | module | stream id | holds |
//! |---|---|---|
//! | [`product`] | the product's id | what is sold, and for how much |
//! | [`sku_claim`] | the SKU | which product a SKU belongs to |
//! | [`stock`] | `<store_id>:<sku>` | how much a store has, and how much of it is promised |
//! | [`user`] | the user's id | who may do what; personal fields sealed |
//! | [`email_claim`] | keyed hash of the lower-cased address | which user an e-mail address belongs to |
//! | [`order`] | the order's id | what a customer buys, and how far it has come |
//! | [`reservation`] | the order's id | what a store has promised to an order |
//! | [`payment`] | the payment's id | what was charged and given back |
//! | [`delivery`] | the delivery's id | how an order is brought |
//! | [`capacity`] | the store's id | how many deliveries a store makes in an hour |
//! | [`slot`] | `<store_id>:<hour>` | how many of them are booked |
//! | [`notification`] | `<event id>:<channel>` | what a user was told, and how |
//! | [`fulfilment`] | the order's id | the saga that fulfils an order, or undoes what it has done |
//! | [`return_goods`] | the order's id | the saga that takes an order back |
//!
//! [`saga`] holds what the two sagas share: asking, asking again, halting.

#![warn(missing_docs)]

mod aggregate;
mod text;
mod upcasters;

pub mod capacity;
pub mod delivery;
pub mod email_claim;
pub mod fulfilment;
pub mod notification;
pub mod order;
pub mod payment;
pub mod product;
pub mod reservation;
pub mod return_goods;
pub mod saga;
pub mod sku_claim;
pub mod slot;
pub mod stock;
pub mod user;

pub use capacity::Capacity;
pub use delivery::Delivery;
pub use email_claim::EmailClaim;
pub use fulfilment::Fulfilment;
pub use notification::Notification;
pub use order::Order;
pub use payment::Payment;
pub use product::Product;
pub use reservation::Reservation;
pub use return_goods::Return;
pub use sku_claim::SkuClaim;
pub use slot::Slot;
pub use stock::Stock;
pub use user::User;

pub mod address;

mod country;
mod email;
mod id;
mod invalid;
mod money;
mod notification_preferences;
mod payment_token;
mod person_name;
mod phone_number;
mod quantity;
mod reason;
mod role;
mod sealed;
mod sku;
mod store_id;

pub use address::Address;
pub use country::Country;
pub use email::Email;
pub use id::{DeliveryId, OrderId, PaymentId, ProductId, UserId};
pub use invalid::Invalid;
pub use iso_currency::Currency;
pub use money::{Money, Price};
pub use notification_preferences::{Channels, NotificationPreferences};
pub use payment_token::PaymentToken;
pub use person_name::PersonName;
pub use phone_number::PhoneNumber;
pub use quantity::Quantity;
pub use reason::Reason;
pub use role::Role;
pub use sealed::Sealed;
pub use sku::Sku;
pub use store_id::StoreId;

pub use aggregate::{AggregateType, EventType};
pub use upcasters::upcasters;

use cqrs_es::Aggregate;

/// Every aggregate type with its events: what topics, snapshots and golden files are checked against.
pub const AGGREGATE_TYPES: &[AggregateType] = &[
    AggregateType {
        name: User::TYPE,
        shape: user::SHAPE,
        events: user::EVENT_TYPES,
    },
    AggregateType {
        name: EmailClaim::TYPE,
        shape: email_claim::SHAPE,
        events: email_claim::EVENT_TYPES,
    },
    AggregateType {
        name: Product::TYPE,
        shape: product::SHAPE,
        events: product::EVENT_TYPES,
    },
    AggregateType {
        name: SkuClaim::TYPE,
        shape: sku_claim::SHAPE,
        events: sku_claim::EVENT_TYPES,
    },
    AggregateType {
        name: Stock::TYPE,
        shape: stock::SHAPE,
        events: stock::EVENT_TYPES,
    },
    AggregateType {
        name: Order::TYPE,
        shape: order::SHAPE,
        events: order::EVENT_TYPES,
    },
    AggregateType {
        name: Reservation::TYPE,
        shape: reservation::SHAPE,
        events: reservation::EVENT_TYPES,
    },
    AggregateType {
        name: Payment::TYPE,
        shape: payment::SHAPE,
        events: payment::EVENT_TYPES,
    },
    AggregateType {
        name: Delivery::TYPE,
        shape: delivery::SHAPE,
        events: delivery::EVENT_TYPES,
    },
    AggregateType {
        name: Capacity::TYPE,
        shape: capacity::SHAPE,
        events: capacity::EVENT_TYPES,
    },
    AggregateType {
        name: Slot::TYPE,
        shape: slot::SHAPE,
        events: slot::EVENT_TYPES,
    },
    AggregateType {
        name: Notification::TYPE,
        shape: notification::SHAPE,
        events: notification::EVENT_TYPES,
    },
    AggregateType {
        name: Fulfilment::TYPE,
        shape: fulfilment::SHAPE,
        events: fulfilment::EVENT_TYPES,
    },
    AggregateType {
        name: Return::TYPE,
        shape: return_goods::SHAPE,
        events: return_goods::EVENT_TYPES,
    },
];
