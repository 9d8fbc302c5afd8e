//! The demo catalogue that ships with the program: data of a first start, and nothing else here.

use command_api::products::{NewProduct, parse_line};

static CATALOGUE: &str = include_str!("../seed/demo-catalogue.ndjson");

/// The demo catalogue, in the order of the file.
pub fn catalogue() -> Vec<NewProduct> {
    CATALOGUE
        .lines()
        .map(|line| {
            parse_line(line.as_bytes())
                .expect("the embedded catalogue is well-formed: a test reads all of it")
        })
        .collect()
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
        let prices = || products.iter().map(|product| product.price);
        assert!(prices().all(|price| price.amount_minor() > 0));
        assert!(prices().all(|price| price.currency().code() == "EUR"));
    }

    #[test]
    fn members_that_a_product_does_not_have_become_attributes() {
        let beer = catalogue()
            .into_iter()
            .find(|product| product.sku.as_str() == "AB-BEE-001")
            .unwrap();
        assert_eq!(beer.price.amount_minor(), 499);
        let details = beer.details;
        assert_eq!(details.name.as_str(), "SummitForge Brewery Craft Lager");
        assert_eq!(
            details.brand.as_ref().map(AsRef::as_ref),
            Some("SummitForge")
        );
        assert_eq!(
            details.size.as_ref().map(AsRef::as_ref),
            Some("500 ml bottle")
        );
        let attributes: Vec<(&str, &str)> = details.attributes.iter().collect();
        assert_eq!(attributes, [("tier", "premium"), ("weight_g", "500")]);
    }
}
