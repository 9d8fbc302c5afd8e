//! What happened to orders: their rows, and what of that is new for sales and products.

use chrono::{DateTime, Utc};
use domain::order::{Event, Item};
use domain::{Money, StoreId};
use eventstore::HandleError;
use read_models::analytics::orders::{self, Line, Order};
use read_models::analytics::products::{self, Counted};
use read_models::analytics::sales::{self, Happened, What};
use sqlx::PgConnection;

use super::changes::{self, Changed};
use crate::recorded::Recorded;

const NOT_PLACED: &str = "the order's creation has not been projected";

/// What an event does to an order's row.
pub(crate) enum Change {
    Placed(Box<Placed>),
    Reached(Step),
}

/// A row to begin with.
pub(crate) struct Placed {
    store_id: String,
    total: Money,
    lines: Vec<Line>,
}

/// What becomes of a row that is there.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Reserved,
    Paid,
    Scheduled,
    Completed,
    Cancelled { reason: &'static str },
    Returned,
}

pub(super) fn change(event: &Event) -> Option<Change> {
    let step = match event {
        Event::Created {
            store_id,
            items,
            total,
            ..
        } => {
            let placed = placed(store_id, items, *total);
            return Some(Change::Placed(Box::new(placed)));
        }
        Event::Reserved => Step::Reserved,
        Event::Paid => Step::Paid,
        Event::Scheduled { .. } => Step::Scheduled,
        Event::Completed => Step::Completed,
        Event::Cancelled { reason } => Step::Cancelled {
            reason: reason.as_str(),
        },
        Event::Returned => Step::Returned,
        // It counts once it has led to something.
        Event::CancellationRequested { .. } => return None,
    };
    Some(Change::Reached(step))
}

fn placed(store_id: &StoreId, items: &[Item], total: Money) -> Placed {
    let line = |item: &Item| {
        let items = i64::from(item.quantity.get());
        Line {
            sku: item.sku.as_str().to_owned(),
            name: item.name.as_str().to_owned(),
            items,
            // Sums that do not fit are refused when an order is placed.
            amount_minor: item.unit_price.amount_minor().saturating_mul(items),
        }
    };
    Placed {
        store_id: store_id.as_str().to_owned(),
        total,
        lines: items.iter().map(line).collect(),
    }
}

/// An order, with its lines where it was placed in this batch.
#[derive(Clone)]
struct Row {
    order: Order,
    lines: Vec<Line>,
}

impl changes::Row for Row {
    fn version(&self) -> i64 {
        self.order.version
    }
}

/// Returns the orders that are completed by these events.
pub(super) async fn write(
    connection: &mut PgConnection,
    generation: i32,
    events: Vec<Recorded<'_, Change>>,
) -> Result<Vec<String>, HandleError> {
    if events.is_empty() {
        return Ok(vec![]);
    }
    let loaded = orders::load(&mut *connection, generation, &changes::ids(&events)).await?;
    let known = loaded.into_iter().map(|(id, order)| {
        let lines = Vec::new();
        (id, Row { order, lines })
    });
    let changed = changes::fold(known.collect(), events, |it| it.id.to_owned(), apply)?;
    let rows: Vec<&Order> = changed.iter().map(|it| &it.after.order).collect();
    orders::upsert(&mut *connection, generation, &rows).await?;
    let is_new = |it: &&Changed<Row>| it.before.is_none();
    let placed = changed.iter().filter(is_new);
    let placed: Vec<(&str, &[Line])> = placed
        .map(|it| (it.after.order.id.as_str(), it.after.lines.as_slice()))
        .collect();
    orders::insert_lines(&mut *connection, generation, &placed).await?;
    let happened: Vec<Happened> = changed.iter().flat_map(happened).collect();
    sales::add(&mut *connection, generation, &happened).await?;
    let counted: Vec<Counted> = changed.iter().flat_map(counted).collect();
    products::add(connection, generation, &counted).await?;
    let completed = counted.into_iter().filter(|it| !it.is_returned);
    Ok(completed.map(|it| it.order_id).collect())
}

fn apply(row: Option<Row>, recorded: Recorded<'_, Change>) -> Result<Option<Row>, &'static str> {
    let (at, version) = (recorded.at, recorded.version);
    let step = match recorded.event {
        Change::Placed(placed) => return Ok(Some(begin(recorded.id, version, at, *placed))),
        Change::Reached(step) => step,
    };
    let mut row = row.ok_or(NOT_PLACED)?;
    let order = &mut row.order;
    order.version = version;
    match step {
        Step::Reserved => order.reserved_at = Some(at),
        Step::Paid => order.paid_at = Some(at),
        Step::Scheduled => order.scheduled_at = Some(at),
        Step::Completed => order.completed_at = Some(at),
        Step::Cancelled { reason } => {
            order.cancelled_at = Some(at);
            order.cancel_reason = Some(reason.to_owned());
        }
        Step::Returned => order.returned_at = Some(at),
    }
    Ok(Some(row))
}

fn begin(id: &str, version: i64, at: DateTime<Utc>, placed: Placed) -> Row {
    let order = Order {
        id: id.to_owned(),
        store_id: placed.store_id,
        currency: placed.total.currency.code().to_owned(),
        amount_minor: placed.total.amount_minor,
        items: placed.lines.iter().map(|line| line.items).sum(),
        placed_at: at,
        reserved_at: None,
        paid_at: None,
        scheduled_at: None,
        completed_at: None,
        cancelled_at: None,
        cancel_reason: None,
        returned_at: None,
        version,
    };
    let lines = placed.lines;
    Row { order, lines }
}

/// When it came to a moment, if that is new.
fn newly(
    changed: &Changed<Row>,
    moment: fn(&Order) -> Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let before = changed.before.as_ref();
    let before = before.and_then(|row| moment(&row.order));
    moment(&changed.after.order).filter(|_| before.is_none())
}

/// What it adds to sales. The money of one that is returned is taken away with its refund.
fn happened(changed: &Changed<Row>) -> impl Iterator<Item = Happened> {
    let order = &changed.after.order;
    let all = [
        (What::Placed, newly(changed, |it| Some(it.placed_at)), 0, 0),
        (
            What::Completed,
            newly(changed, |it| it.completed_at),
            order.amount_minor,
            order.items,
        ),
        (What::Cancelled, newly(changed, |it| it.cancelled_at), 0, 0),
        (
            What::Returned,
            newly(changed, |it| it.returned_at),
            0,
            -order.items,
        ),
    ];
    all.into_iter()
        .filter_map(|(what, at, revenue_minor, items)| {
            Some(Happened {
                at: at?,
                store_id: order.store_id.clone(),
                currency: order.currency.clone(),
                what,
                revenue_minor,
                items,
            })
        })
}

/// Lines count from completion to return, always on the day of the former.
fn counted(changed: &Changed<Row>) -> impl Iterator<Item = Counted> {
    let order = &changed.after.order;
    let all = [
        (false, newly(changed, |it| it.completed_at)),
        (true, newly(changed, |it| it.returned_at)),
    ];
    all.into_iter().filter_map(|(is_returned, at)| {
        at?;
        Some(Counted {
            order_id: order.id.clone(),
            store_id: order.store_id.clone(),
            currency: order.currency.clone(),
            completed_at: order.completed_at?,
            is_returned,
        })
    })
}
