//! `products`: one row a product.

use std::collections::HashMap;

use cqrs_es::Aggregate;
use domain::product::Event;
use domain::{Price, Product};
use eventstore::{EventStore, HandleError, RecordedEvent};
use read_models::products::{self, Money, Product as Row, Status};
use read_models::tables::Model;
use sqlx::PgConnection;

use crate::recorded::{self, Recorded};
use crate::rows::Rows;

/// An event of a product that no row shows: its creation was discarded, or the row was lost.
pub(crate) const NOT_CREATED: &str = "the product's creation has not been projected";

pub(crate) struct Products;

impl Rows for Products {
    const MODEL: &'static Model = &products::MODEL;
    const READS: &'static [&'static str] = &[Product::TYPE];
    type Event = Event;
    type Key = String;
    type Row = Row;

    async fn read<'a>(
        _store: &EventStore,
        events: &[&'a RecordedEvent],
    ) -> Result<Vec<Recorded<'a, Event>>, HandleError> {
        events.iter().copied().map(recorded::read).collect()
    }

    fn key(recorded: &Recorded<'_, Event>) -> Option<String> {
        Some(recorded.id.to_owned())
    }

    fn shows(row: &Row, recorded: &Recorded<'_, Event>) -> bool {
        row.version >= recorded.version
    }

    fn apply(row: Option<Row>, recorded: Recorded<'_, Event>) -> Result<Row, &'static str> {
        let version = recorded.version;
        let existing = || row.ok_or(NOT_CREATED);
        Ok(match recorded.event {
            Event::Created {
                sku,
                name,
                brand,
                description,
                category,
                size,
                attributes,
                price,
            } => Row {
                id: recorded.id.to_owned(),
                sku: sku.into(),
                name: name.into(),
                brand: brand.map(Into::into),
                description: description.map(Into::into),
                category: category.into(),
                size: size.map(Into::into),
                attributes: attributes.as_map().clone(),
                price: money(price),
                status: Status::Active,
                version,
            },
            Event::Updated(details) => Row {
                name: details.name.into(),
                brand: details.brand.map(Into::into),
                description: details.description.map(Into::into),
                category: details.category.into(),
                size: details.size.map(Into::into),
                attributes: details.attributes.as_map().clone(),
                version,
                ..existing()?
            },
            Event::PriceChanged { price } => Row {
                price: money(price),
                version,
                ..existing()?
            },
            Event::Discontinued => Row {
                status: Status::Discontinued,
                version,
                ..existing()?
            },
        })
    }

    async fn load(
        connection: &mut PgConnection,
        generation: i32,
        keys: &[String],
    ) -> sqlx::Result<HashMap<String, Row>> {
        products::load(connection, generation, keys).await
    }

    async fn upsert(
        connection: &mut PgConnection,
        generation: i32,
        rows: &[Row],
    ) -> sqlx::Result<()> {
        products::upsert(connection, generation, rows).await
    }
}

pub(crate) fn money(price: Price) -> Money {
    amount(price.money())
}

pub(crate) fn amount(money: domain::Money) -> Money {
    Money {
        amount_minor: money.amount_minor,
        currency: money.currency.code().to_owned(),
    }
}
