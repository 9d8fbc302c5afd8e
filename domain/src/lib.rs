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

#![warn(missing_docs)]

mod aggregate;
mod text;
mod upcasters;

pub mod email_claim;
pub mod product;
pub mod sku_claim;
pub mod stock;
pub mod user;

pub use email_claim::EmailClaim;
pub use product::Product;
pub use sku_claim::SkuClaim;
pub use stock::Stock;
pub use user::User;

pub mod address;

mod country;
mod email;
mod id;
mod invalid;
mod money;
mod notification_preferences;
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
pub use id::{OrderId, ProductId, UserId};
pub use invalid::Invalid;
pub use iso_currency::Currency;
pub use money::{Money, Price};
pub use notification_preferences::{Channels, NotificationPreferences};
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
];
