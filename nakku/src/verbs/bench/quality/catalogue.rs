//! The products of a catalogue, as the index knows them.

use std::path::Path;

use anyhow::{Context, bail};
use command_api::products::{Line, Lines, NewProduct, parse_line};
use domain::ProductId;
use domain::product::Create;
use read_models::search::Document;
use uuid::Uuid;

use super::super::search::document;
use crate::seed;

/// The products of a file as `import` takes it, of the demo catalogue without one.
pub(super) fn read(file: Option<&Path>) -> anyhow::Result<Vec<Document>> {
    let products = match file {
        None => seed::catalogue(),
        Some(file) => products(file).with_context(|| format!("cannot read {}", file.display()))?,
    };
    Ok(products.into_iter().map(listed).collect())
}

fn products(file: &Path) -> anyhow::Result<Vec<NewProduct>> {
    let mut lines = Lines::default();
    lines.feed(&std::fs::read(file)?);
    let mut products = Vec::new();
    while let Some(line) = lines.next_line()? {
        products.push(product(line)?);
    }
    while let Some(line) = lines.finish()? {
        products.push(product(line)?);
    }
    if products.is_empty() {
        bail!("there is no product in it");
    }
    Ok(products)
}

fn product(line: Line) -> anyhow::Result<NewProduct> {
    let number = line.number;
    let text = line.text.with_context(|| format!("line {number}"))?;
    parse_line(&text).map_err(|bad| anyhow::anyhow!("line {number}: {}", bad.detail))
}

fn listed(product: NewProduct) -> Document {
    document(&Create {
        product_id: ProductId::from(Uuid::now_v7()),
        sku: product.sku,
        price: product.price,
        details: product.details,
    })
}
