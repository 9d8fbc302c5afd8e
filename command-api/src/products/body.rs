//! A product as a body describes it.

use std::collections::BTreeMap;

use domain::product::{Attributes, Brand, Category, Description, Details, Name, Size};
use domain::{Money, Price, Sku};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::NewProduct;
use crate::member::Member;

/// An amount in the minor unit of its currency.
#[derive(ToSchema)]
#[schema(as = Money)]
#[expect(
    dead_code,
    reason = "read by the document only; bodies hold the domain's own"
)]
pub(crate) struct MoneyDocument {
    /// Cents for EUR, yen for JPY.
    #[schema(example = 1299)]
    amount_minor: i64,
    /// ISO 4217.
    #[schema(example = "EUR", min_length = 3, max_length = 3)]
    currency: String,
}

/// A product that is to be sold.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateProduct {
    /// No other product's, for good.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "AB-BEE-001")]
    #[garde(dive)]
    pub(super) sku: Member<Sku>,
    #[schema(value_type = String, max_length = 200, example = "Craft Lager")]
    #[garde(dive)]
    pub(super) name: Member<Name>,
    /// What one piece costs: 0 to 10^12 minor units.
    #[schema(value_type = MoneyDocument)]
    #[garde(dive)]
    pub(super) price: Member<Price, Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 100)]
    #[garde(dive)]
    pub(super) brand: Option<Member<Brand>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 4000)]
    #[garde(dive)]
    pub(super) description: Option<Member<Description>>,
    /// From the widest category to the narrowest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, max_items = 5, example = json!(["Beverages", "Beer"]))]
    #[garde(dive)]
    pub(super) category: Option<Member<Category, Vec<String>>>,
    /// The size of a pack in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 100, example = "500 ml bottle")]
    #[garde(dive)]
    pub(super) size: Option<Member<Size>>,
    /// At most 20 facts as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    #[garde(dive)]
    pub(super) attributes: Option<Member<Attributes, BTreeMap<String, String>>>,
}

impl From<CreateProduct> for NewProduct {
    fn from(body: CreateProduct) -> Self {
        Self {
            sku: body.sku.into_inner(),
            price: body.price.into_inner(),
            details: Details {
                name: body.name.into_inner(),
                brand: body.brand.map(Member::into_inner),
                description: body.description.map(Member::into_inner),
                category: body.category.map(Member::into_inner).unwrap_or_default(),
                size: body.size.map(Member::into_inner),
                attributes: body.attributes.map(Member::into_inner).unwrap_or_default(),
            },
        }
    }
}
