//! What the plan needs is put into the shop first: products that it does not have, and pieces that are missing.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, bail};
use axum::http::StatusCode;
use command_api::products::{Line, Lines};
use domain::Quantity;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::plan::Plan;
use super::progress::Progress;
use super::staff::Staff;
use super::system::{Call, System};

/// The large catalogue, of which the baskets' products are; where it is from stands beside it.
static CATALOGUE: &[u8] = include_bytes!("../../../seed/catalogue.ndjson.gz");

/// Lines of one import: each answers within a few seconds, so that the bar moves.
const LINES_AT_ONCE: usize = 1_000;
/// Receipts under way at once: enough to fill batches, and far below what a system takes.
const RECEIPTS_AT_ONCE: usize = 32;
/// Pieces that stay on the shelf when every order is through, so that the shop does not end empty.
const PIECES_LEFT: u64 = 12;
/// The largest page of a list.
const PAGE: usize = 200;

/// A page of a list, of whose items only what is needed is read.
#[derive(Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Product {
    sku: String,
}

#[derive(Deserialize)]
struct Stock {
    sku: String,
    available: u64,
}

/// Pieces that a store is to receive.
struct Receipt<'a> {
    store: &'a str,
    sku: &'a str,
    quantity: u64,
}

/// Fills the shelves for a plan.
///
/// # Errors
/// One line: nobody may do it, or the system refuses or does not answer.
pub(super) async fn fill(system: &System, staff: &Staff, plan: &Plan) -> anyhow::Result<()> {
    let demand = plan.demand();
    let missing = missing_products(system, &demand).await?;
    let unknown = create(system, staff, missing).await?;
    let mut receipts = Vec::new();
    for (store, demand) in &demand {
        let available = available(system, store).await?;
        for (sku, pieces) in demand.iter().filter(|(sku, _)| !unknown.contains(*sku)) {
            let there = available.get(*sku).copied().unwrap_or_default();
            let quantity = (pieces + PIECES_LEFT).saturating_sub(there);
            // What is left of an earlier run is no reason to go for a few pieces.
            if there < *pieces {
                receipts.push(Receipt {
                    store,
                    sku,
                    quantity: quantity.min(Quantity::MAX.into()),
                });
            }
        }
    }
    receive(system, staff, &receipts).await
}

async fn missing_products<'a>(
    system: &System,
    demand: &BTreeMap<&'a str, BTreeMap<&'a str, u64>>,
) -> anyhow::Result<HashSet<&'a str>> {
    let mut missing: HashSet<&str> = demand.values().flat_map(BTreeMap::keys).copied().collect();
    let mut cursor = None;
    while !missing.is_empty() {
        let page: Page<Product> = page(system, "/products", cursor).await?;
        for product in page.items {
            missing.remove(product.sku.as_str());
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(missing)
}

/// A store's available pieces by SKU.
async fn available(system: &System, store: &str) -> anyhow::Result<HashMap<String, u64>> {
    let mut available = HashMap::new();
    let mut cursor = None;
    loop {
        let page: Page<Stock> = page(system, &format!("/inventory/{store}"), cursor).await?;
        let pieces = page.items.into_iter();
        available.extend(pieces.map(|stock| (stock.sku, stock.available)));
        cursor = page.next_cursor;
        if cursor.is_none() {
            return Ok(available);
        }
    }
}

async fn page<T: for<'de> Deserialize<'de>>(
    system: &System,
    path: &str,
    cursor: Option<String>,
) -> anyhow::Result<Page<T>> {
    let after = cursor.map(|cursor| format!("&cursor={cursor}"));
    let after = after.unwrap_or_default();
    let call = Call::get(format!("{path}?limit={PAGE}{after}"));
    let answer = system.ask(&call).await?;
    answer
        .read()
        .with_context(|| format!("{} does not list {path}", system.url()))
}

/// Imports what is missing, as far as the catalogue has it; what stays missing.
async fn create<'a>(
    system: &System,
    staff: &Staff,
    mut missing: HashSet<&'a str>,
) -> anyhow::Result<HashSet<&'a str>> {
    if missing.is_empty() {
        return Ok(missing);
    }
    let lines = taken_from_catalogue(&mut missing)?;
    if !lines.is_empty() {
        import(system, staff, &lines).await?;
    }
    if let Some(one) = missing.iter().min() {
        let count = missing.len();
        eprintln!(
            "demo: {count} SKUs of the baskets, as {one}, are neither products of the shop nor in the demo's catalogue: \
             orders of them are refused"
        );
    }
    Ok(missing)
}

async fn import(system: &System, staff: &Staff, lines: &[String]) -> anyhow::Result<()> {
    let mut progress = Progress::new("products", lines.len());
    for lines in lines.chunks(LINES_AT_ONCE) {
        let token = staff.token(system).await?;
        let call = Call::send("/products/import", lines.concat()).with_token(&token);
        let answer = system.ask(&call).await?;
        if is_not_let(answer.status) {
            bail!(staff.refused(system, answer.status));
        }
        let _: Value = answer.read().context("the import of products")?;
        progress.moved(lines.len(), String::new);
    }
    progress.finish();
    Ok(())
}

/// The catalogue's lines of these SKUs; those that it does not have stay.
fn taken_from_catalogue(missing: &mut HashSet<&str>) -> anyhow::Result<Vec<String>> {
    let mut lines = Lines::default();
    let mut taken = Vec::new();
    let mut take = |line: Line| -> anyhow::Result<()> {
        let mut text = String::from_utf8(line.text?)?;
        let product: Product = serde_json::from_str(&text)?;
        if missing.remove(product.sku.as_str()) {
            text.push('\n');
            taken.push(text);
        }
        Ok(())
    };
    lines.feed(CATALOGUE);
    while let Some(line) = lines.next_line()? {
        take(line)?;
    }
    while let Some(line) = lines.finish()? {
        take(line)?;
    }
    Ok(taken)
}

async fn receive(system: &System, staff: &Staff, receipts: &[Receipt<'_>]) -> anyhow::Result<()> {
    if receipts.is_empty() {
        return Ok(());
    }
    let delivery = Uuid::now_v7().simple().to_string();
    let mut progress = Progress::new("shelves", receipts.len());
    let mut received = stream::iter(receipts)
        .map(|receipt| receive_one(system, staff, receipt, &delivery))
        .buffer_unordered(RECEIPTS_AT_ONCE);
    while let Some(()) = received.try_next().await? {
        progress.moved(1, String::new);
    }
    progress.finish();
    Ok(())
}

async fn receive_one(
    system: &System,
    staff: &Staff,
    receipt: &Receipt<'_>,
    delivery: &str,
) -> anyhow::Result<()> {
    let Receipt {
        store,
        sku,
        quantity,
    } = receipt;
    let token = staff.token(system).await?;
    let body = json!({"quantity": quantity});
    let call = Call::post(format!("/inventory/{store}/{sku}/receive"), body)
        .with_token(&token)
        .with("idempotency-key", format!("{delivery}-{store}-{sku}"));
    let answer = system.ask(&call).await?;
    if is_not_let(answer.status) {
        bail!(staff.refused(system, answer.status));
    }
    let _: Value = answer
        .read()
        .with_context(|| format!("store {store} cannot receive {quantity} of {sku}"))?;
    Ok(())
}

fn is_not_let(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_has_what_it_is_asked_for() {
        let mut missing = HashSet::from(["1095275", "25671", "nobody's"]);
        let lines = taken_from_catalogue(&mut missing).unwrap();
        assert_eq!(missing, HashSet::from(["nobody's"]));
        assert_eq!(lines.len(), 2);
        for line in lines {
            let product = command_api::products::parse_line(line.as_bytes()).unwrap();
            assert_eq!(product.price.currency().code(), "USD");
        }
    }
}
