//! What no type of a body looks for: members given twice, U+0000, numbers beyond every type.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{ERRORS_MAX, not_json, push_pointer};
use crate::problem::{FieldError, Problem};

/// How `serde_json` begins its message on a number whose exponent is too large.
const OUT_OF_RANGE: &str = "number out of range";

/// Reads a body to its end, whatever its shape.
///
/// # Errors
/// `bad-request` for what is not JSON, `invalid-body` with a pointer to each place.
pub(super) fn check(body: &[u8]) -> Result<(), Problem> {
    let mut found = Found::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Value(&mut found)
        .deserialize(&mut deserializer)
        .and_then(|()| deserializer.end());
    match read {
        // It is JSON, but for no type of ours.
        Err(error) if error.to_string().starts_with(OUT_OF_RANGE) => {
            found.report(OUT_OF_RANGE);
        }
        Err(error) => return Err(not_json(&error)),
        Ok(()) => {}
    }
    if found.errors.is_empty() {
        return Ok(());
    }
    Err(Problem::invalid_body(found.errors))
}

#[derive(Default)]
struct Found {
    /// The place that is being read; after an error, where it is.
    pointer: String,
    errors: Vec<FieldError>,
}

impl Found {
    fn report(&mut self, detail: &str) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError {
                pointer: self.pointer.clone(),
                detail: detail.to_owned(),
            });
        }
    }

    fn text(&mut self, text: &str) {
        // PostgreSQL's text cannot hold it.
        if text.contains('\0') {
            self.report("U+0000 is not allowed");
        }
    }
}

struct Value<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.text(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Value(found) = self;
        let length = found.pointer.len();
        let mut index = 0_usize;
        push_pointer(&mut found.pointer, "0");
        while items.next_element_seed(Value(&mut *found))?.is_some() {
            index += 1;
            found.pointer.truncate(length);
            push_pointer(&mut found.pointer, &index.to_string());
        }
        found.pointer.truncate(length);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Value(found) = self;
        let length = found.pointer.len();
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            push_pointer(&mut found.pointer, &name);
            found.text(&name);
            // Which of two values counts is another one in each parser.
            if !names.insert(name) {
                found.report("is given more than once");
            }
            members.next_value_seed(Value(&mut *found))?;
            found.pointer.truncate(length);
        }
        Ok(())
    }
}
