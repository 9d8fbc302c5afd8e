//! What describes a product, apart from its SKU and its price.

use serde::{Deserialize, Serialize};

use super::{Attributes, Category};
use crate::Invalid;
use crate::text::{line, paragraph, text_value};

/// Fits a shelf label and a receipt line.
const NAME_LENGTH_MAX: usize = 200;
const BRAND_LENGTH_MAX: usize = 100;
const SIZE_LENGTH_MAX: usize = 100;
/// A page of text; it is indexed for search.
const DESCRIPTION_LENGTH_MAX: usize = 4_000;

text_value! {
    /// What the product is called: trimmed, 1 to 200 characters.
    Name, parse_name
}
text_value! {
    /// Who makes it, as customers know them: trimmed, 1 to 100 characters.
    Brand, parse_brand
}
text_value! {
    /// The size of a pack in words, as `500 ml bottle`: trimmed, 1 to 100 characters.
    Size, parse_size
}
text_value! {
    /// What there is to say about it: trimmed, 1 to 4,000 characters, line breaks allowed.
    Description, parse_description
}

fn parse_name(raw: String) -> Result<String, Invalid> {
    line("name", raw, NAME_LENGTH_MAX)
}

fn parse_brand(raw: String) -> Result<String, Invalid> {
    line("brand", raw, BRAND_LENGTH_MAX)
}

fn parse_size(raw: String) -> Result<String, Invalid> {
    line("size", raw, SIZE_LENGTH_MAX)
}

fn parse_description(raw: String) -> Result<String, Invalid> {
    paragraph("description", raw, DESCRIPTION_LENGTH_MAX)
}

/// Everything that describes a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What it is called.
    pub name: Name,
    /// Who makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<Brand>,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Where it stands in the shop.
    #[serde(default)]
    pub category: Category,
    /// The size of a pack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// What else is known.
    #[serde(default)]
    pub attributes: Attributes,
}

/// Which details change: `None` leaves one as it is; the inner `None` of what is optional takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DetailsChange {
    /// A new name.
    pub name: Option<Name>,
    /// Another brand, or none.
    pub brand: Option<Option<Brand>>,
    /// Another description, or none.
    pub description: Option<Option<Description>>,
    /// Another place in the shop.
    pub category: Option<Category>,
    /// Another size, or none.
    pub size: Option<Option<Size>>,
    /// Other attributes, all of them.
    pub attributes: Option<Attributes>,
}

impl DetailsChange {
    /// The details as they are after the change.
    #[must_use]
    pub fn of(self, before: &Details) -> Details {
        let before = before.clone();
        Details {
            name: self.name.unwrap_or(before.name),
            brand: self.brand.unwrap_or(before.brand),
            description: self.description.unwrap_or(before.description),
            category: self.category.unwrap_or(before.category),
            size: self.size.unwrap_or(before.size),
            attributes: self.attributes.unwrap_or(before.attributes),
        }
    }
}

/// Replaces everything.
impl From<Details> for DetailsChange {
    fn from(details: Details) -> Self {
        Self {
            name: Some(details.name),
            brand: Some(details.brand),
            description: Some(details.description),
            category: Some(details.category),
            size: Some(details.size),
            attributes: Some(details.attributes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_touches_what_it_names() {
        let before: Details =
            serde_json::from_str(r#"{"name":"Ale","brand":"Summit","size":"1 l"}"#).unwrap();
        let change = DetailsChange {
            name: Some("Pale ale".parse().unwrap()),
            brand: Some(None),
            ..DetailsChange::default()
        };
        let after = change.of(&before);
        assert_eq!(after.name.as_str(), "Pale ale");
        assert_eq!(after.brand, None);
        assert_eq!(after.size, before.size);
        assert_eq!(DetailsChange::from(before.clone()).of(&after), before);
    }

    #[test]
    fn only_descriptions_have_lines() {
        assert!("two\nlines".parse::<Name>().is_err());
        assert_eq!(
            "two\nlines ".parse::<Description>().unwrap().as_str(),
            "two\nlines"
        );
        assert!("a\u{0}b".parse::<Description>().is_err());
        assert!("x".repeat(4_001).parse::<Description>().is_err());
    }
}
