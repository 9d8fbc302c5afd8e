//! The demo catalogue that ships with the program: data of a first start, and nothing else here.

use std::collections::BTreeMap;

use serde::Deserialize;

static CATALOGUE: &str = include_str!("../seed/demo-catalogue.ndjson");

/// A product as a line of a catalogue describes it: the body of `POST products`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedProduct {
    pub sku: String,
    pub name: String,
    pub brand: Option<String>,
    pub description: Option<String>,
    /// From the widest to the narrowest.
    pub category: Vec<String>,
    pub size: Option<String>,
    pub price: SeedPrice,
    /// Everything else that the line says, as text.
    pub attributes: BTreeMap<String, String>,
}

/// An amount in the smallest unit of its currency.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedPrice {
    pub amount_minor: i64,
    /// ISO 4217, as `EUR`.
    pub currency: String,
}

#[derive(Deserialize)]
struct Line {
    sku: String,
    name: String,
    brand: Option<String>,
    description: Option<String>,
    #[serde(default)]
    category: Vec<String>,
    size: Option<String>,
    price: SeedPrice,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, serde_json::Value>,
}

/// The demo catalogue, in the order of the file.
pub fn catalogue() -> Vec<SeedProduct> {
    CATALOGUE
        .lines()
        .map(|line| {
            product(line).expect("the embedded catalogue is well-formed: a test reads all of it")
        })
        .collect()
}

fn product(line: &str) -> serde_json::Result<SeedProduct> {
    let line: Line = serde_json::from_str(line)?;
    let mut attributes = line.attributes;
    for (name, value) in line.unknown {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => {
                attributes.insert(name, text);
            }
            other => {
                attributes.insert(name, other.to_string());
            }
        }
    }
    Ok(SeedProduct {
        sku: line.sku,
        name: line.name,
        brand: line.brand,
        description: line.description,
        category: line.category,
        size: line.size,
        price: line.price,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_catalogue_has_708_products_with_skus_of_their_own() {
        let products = catalogue();
        let skus: HashSet<&str> = products
            .iter()
            .map(|product| product.sku.as_str())
            .collect();
        assert_eq!(products.len(), 708);
        assert_eq!(skus.len(), 708);
        assert!(
            products
                .iter()
                .all(|product| product.price.amount_minor > 0 && product.price.currency == "EUR")
        );
    }

    #[test]
    fn members_that_a_product_does_not_have_become_attributes() {
        let beer = catalogue()
            .into_iter()
            .find(|product| product.sku == "AB-BEE-001")
            .unwrap();
        assert_eq!(beer.name, "SummitForge Brewery Craft Lager");
        assert_eq!(beer.brand.as_deref(), Some("SummitForge"));
        assert_eq!(beer.category, ["Alcoholic Beverages", "Beer"]);
        assert_eq!(beer.size.as_deref(), Some("500 ml bottle"));
        assert_eq!(
            beer.price,
            SeedPrice {
                amount_minor: 499,
                currency: "EUR".to_owned()
            }
        );
        let attributes: Vec<(&str, &str)> = beer
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(attributes, [("tier", "premium"), ("weight_g", "500")]);
    }
}
