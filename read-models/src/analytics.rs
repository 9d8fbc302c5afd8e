//! `analytics`: figures about orders, products, stock and customers, for staff.
//!
//! What happened to each order is a row ([`orders`]), and what was given back of it ([`refunds`]); what is asked over long periods is counted as it happens
//! ([`sales`], [`products`]), the rest is counted when it is asked for ([`funnel`], [`times`]). Hours and days are
//! those of UTC. Nothing here says who somebody is.

use chrono::{DateTime, Utc};

use crate::tables::Model;

pub mod customers;
pub mod funnel;
pub mod low_stock;
pub mod orders;
pub mod products;
pub mod refunds;
pub mod sales;
pub mod times;

pub const NAME: &str = "analytics";

/// Changed with every change of the tables or of what their rows mean; a generation of another shape is rebuilt.
pub const SHAPE: &str = "analytics-2";

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        orders::CREATE_TABLE,
        orders::CREATE_INDEX,
        orders::CREATE_ITEMS,
        funnel::CREATE_TABLE,
        sales::CREATE_TABLE,
        refunds::CREATE_TABLE,
        products::CREATE_TABLE,
        low_stock::CREATE_TABLE,
        customers::CREATE_TABLE,
    ],
    tables: &[
        orders::TABLE,
        orders::ITEMS,
        funnel::TABLE,
        sales::TABLE,
        refunds::TABLE,
        products::TABLE,
        low_stock::TABLE,
        customers::TABLE,
    ],
};

/// From a moment on, until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// SQL that takes a sum, which may be anything, to the nearest `bigint`: rather that than no answer for a shop
/// whose prices are absurd.
fn saturating(sum: &str) -> String {
    format!("least(greatest({sum}, -9223372036854775808), 9223372036854775807)::bigint")
}
