//! An address as bodies have it.

use domain::address::{City, Label, Line, Lines, Note, PostalCode};
use domain::{Address, Country, PersonName};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::member::Member;

/// Where goods are brought.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressDocument {
    /// What one calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 50, example = "Home")]
    #[garde(dive)]
    label: Option<Member<Label>>,
    /// Who opens the door, if not oneself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 200)]
    #[garde(dive)]
    recipient: Option<Member<PersonName>>,
    /// Street and house and what else leads there, of at most 100 characters each.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 4, example = json!(["Dorset Street 1", "2nd floor"]))]
    #[garde(length(min = 1, max = Lines::MAX), dive)]
    lines: Vec<Member<Line>>,
    /// Absent where the country has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^[A-Za-z0-9 -]{1,12}$", example = "10115")]
    #[garde(dive)]
    postal_code: Option<Member<PostalCode>>,
    #[schema(value_type = String, max_length = 100, example = "Berlin")]
    #[garde(dive)]
    city: Member<City>,
    /// ISO 3166-1 alpha-2.
    #[schema(value_type = String, min_length = 2, max_length = 2, example = "DE")]
    #[garde(dive)]
    country: Member<Country>,
    /// For whoever brings it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 500, example = "Ring twice.")]
    #[garde(dive)]
    note: Option<Member<Note>>,
}

impl From<AddressDocument> for Address {
    fn from(body: AddressDocument) -> Self {
        let lines: Vec<Line> = body.lines.into_iter().map(Member::into_inner).collect();
        Self {
            label: body.label.map(Member::into_inner),
            recipient: body.recipient.map(Member::into_inner),
            lines: Lines::try_from(lines).expect("as many as were validated"),
            postal_code: body.postal_code.map(Member::into_inner),
            city: body.city.into_inner(),
            country: body.country.into_inner(),
            note: body.note.map(Member::into_inner),
        }
    }
}
