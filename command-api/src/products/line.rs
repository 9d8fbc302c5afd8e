//! A line of a catalogue: the body of `POST products`, whose other members become attributes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use domain::product::{Attributes, Brand, Category, Description, Name, Size};
use domain::{Money, Price, Sku};
use garde::Validate;
use http_server::problem::FieldError;
use http_server::{Kind, Problem};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::NewProduct;
use super::body::CreateProduct;
use crate::member::Member;

/// Wrong members that are named of one line; one mends them one after the other.
const ERRORS_MAX: usize = 10;
/// Characters of what is said of one of them: it may quote the line, and an answer holds many lines.
const DETAIL_CHARS_MAX: usize = 200;

/// Why a line cannot become a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BadLine {
    /// What is wrong, in one line of text.
    #[schema(example = "/price/currency: is no currency")]
    pub detail: String,
    /// Each wrong member, where it is members that are wrong; at most 10.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl BadLine {
    pub(super) fn new(detail: &str) -> Self {
        Self {
            detail: shortened(detail),
            errors: Vec::new(),
        }
    }

    pub(super) fn at(pointer: &str, detail: &str) -> Self {
        Self::of_members(vec![FieldError {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        }])
    }

    fn of_members(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(ERRORS_MAX);
        for error in &mut errors {
            error.pointer = shortened(&error.pointer);
            error.detail = shortened(&error.detail);
        }
        let said: Vec<String> = errors.iter().map(said).collect();
        Self {
            detail: said.join("; "),
            errors,
        }
    }
}

fn said(error: &FieldError) -> String {
    if error.pointer.is_empty() {
        error.detail.clone()
    } else {
        format!("{}: {}", error.pointer, error.detail)
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<Problem> for BadLine {
    fn from(problem: Problem) -> Self {
        let document = problem.document(None);
        if problem.kind() == Kind::INVALID_BODY {
            return Self::of_members(document.errors);
        }
        // The parser knows a body of many lines; here the line has a number already.
        let detail = document.detail.replace(" at line 1 column ", " at column ");
        Self::new(detail.strip_prefix("the body is ").unwrap_or(&detail))
    }
}

/// Parses a line, without its line break.
///
/// # Errors
/// What is wrong with it, with a pointer to each wrong member.
pub fn parse_line(line: &[u8]) -> Result<NewProduct, BadLine> {
    if let Err(error) = std::str::from_utf8(line) {
        let column = error.valid_up_to() + 1;
        return Err(BadLine::new(&format!("not UTF-8 at column {column}")));
    }
    let entry: Entry = http_server::json::parse(line)?;
    Ok(entry.body.into())
}

/// A line with what its members came to.
struct Entry {
    body: CreateProduct,
    /// Members that cannot become attributes, each with the reason.
    refused: Vec<(String, String)>,
}

impl Validate for Entry {
    type Context = ();

    fn validate_into(
        &self,
        context: &(),
        parent: &mut dyn FnMut() -> garde::Path,
        report: &mut garde::Report,
    ) {
        self.body.validate_into(context, parent, report);
        for (name, reason) in &self.refused {
            report.append(parent().join(name.as_str()), garde::Error::new(reason));
        }
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// Reads members one by one: what serde derives for "all others" would lose how a number was written.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a product")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry, A::Error> {
        let mut sku: Option<Member<Sku>> = None;
        let mut name: Option<Member<Name>> = None;
        let mut price: Option<Member<Price, Money>> = None;
        let mut brand: Option<Option<Member<Brand>>> = None;
        let mut description: Option<Option<Member<Description>>> = None;
        let mut category: Option<Option<Member<Category, Vec<String>>>> = None;
        let mut size: Option<Option<Member<Size>>> = None;
        let mut attributes: Option<Option<BTreeMap<String, String>>> = None;
        let mut others = Others::default();
        while let Some(member) = map.next_key::<String>()? {
            match member.as_str() {
                "sku" => read(&mut sku, "sku", &mut map)?,
                "name" => read(&mut name, "name", &mut map)?,
                "price" => read(&mut price, "price", &mut map)?,
                "brand" => read(&mut brand, "brand", &mut map)?,
                "description" => read(&mut description, "description", &mut map)?,
                "category" => read(&mut category, "category", &mut map)?,
                "size" => read(&mut size, "size", &mut map)?,
                "attributes" => read(&mut attributes, "attributes", &mut map)?,
                _ => others.read(member, &mut map)?,
            }
        }
        let (attributes, refused) = others.with(attributes.flatten().unwrap_or_default());
        let body = CreateProduct {
            sku: sku.ok_or_else(|| A::Error::missing_field("sku"))?,
            name: name.ok_or_else(|| A::Error::missing_field("name"))?,
            price: price.ok_or_else(|| A::Error::missing_field("price"))?,
            brand: brand.flatten(),
            description: description.flatten(),
            category: category.flatten(),
            size: size.flatten(),
            attributes: Some(Member::of(attributes)),
        };
        Ok(Entry { body, refused })
    }
}

fn read<'de, T: Deserialize<'de>, A: MapAccess<'de>>(
    member: &mut Option<T>,
    name: &'static str,
    map: &mut A,
) -> Result<(), A::Error> {
    if member.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *member = Some(map.next_value()?);
    Ok(())
}

/// The members that a product does not have, as text; those that are `null` say nothing.
#[derive(Default)]
struct Others {
    seen: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

impl Others {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        member: String,
        map: &mut A,
    ) -> Result<(), A::Error> {
        if !self.seen.insert(member.clone()) {
            return Err(A::Error::custom(format_args!("duplicate field `{member}`")));
        }
        if let Fact(Some(text)) = map.next_value()? {
            self.texts.insert(member, text);
        }
        Ok(())
    }

    /// All attributes of the product, and which members cannot be among them.
    fn with(
        self,
        mut attributes: BTreeMap<String, String>,
    ) -> (BTreeMap<String, String>, Vec<(String, String)>) {
        let mut refused = Vec::new();
        for (name, text) in self.texts {
            let alone = BTreeMap::from([(name.clone(), text)]);
            match Attributes::try_from(alone.clone()) {
                _ if attributes.contains_key(&name) => {
                    refused.push((name, "attributes have a member of this name too".to_owned()));
                }
                Err(invalid) => refused.push((name, invalid.to_string())),
                Ok(_) => attributes.extend(alone),
            }
        }
        (attributes, refused)
    }
}

/// A value as text: a string's own, else the JSON as it stands there.
struct Fact(Option<String>);

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match raw.get() {
            "null" => None,
            json if json.starts_with('"') => {
                Some(serde_json::from_str(json).map_err(D::Error::custom)?)
            }
            json => Some(json.to_owned()),
        };
        Ok(Fact(text))
    }
}

#[cfg(test)]
mod tests;
