//! What else is known about a product.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// Enough for a label's worth of facts; more belongs in a system of its own.
const ENTRIES_MAX: usize = 20;
const KEY_LENGTH_MAX: usize = 64;
const VALUE_LENGTH_MAX: usize = 500;

/// Free-form facts as text, in the order of their names. At most 20; names of 1 to 64 characters, values of at most 500,
/// none with control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Every name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of one name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All of them, as they are stored.
    #[must_use]
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl TryFrom<BTreeMap<String, String>> for Attributes {
    type Error = Invalid;

    fn try_from(entries: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if entries.len() > ENTRIES_MAX {
            return Err(Invalid::new(
                "attributes",
                format!("must be at most {ENTRIES_MAX}"),
            ));
        }
        if !entries
            .iter()
            .all(|(key, value)| is_key(key) && is_value(value))
        {
            return Err(Invalid::new(
                "attributes",
                format!(
                    "must have names of 1 to {KEY_LENGTH_MAX} and values of at most {VALUE_LENGTH_MAX} characters, without control characters"
                ),
            ));
        }
        Ok(Self(entries))
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().count() <= KEY_LENGTH_MAX && !key.chars().any(char::is_control)
}

fn is_value(value: &str) -> bool {
    value.chars().count() <= VALUE_LENGTH_MAX && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(
        entries: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Attributes, Invalid> {
        entries.into_iter().collect::<BTreeMap<_, _>>().try_into()
    }

    fn numbered(count: usize) -> impl Iterator<Item = (String, String)> {
        (0..count).map(|number| (format!("key-{number}"), String::new()))
    }

    #[test]
    fn twenty_are_allowed_and_no_more() {
        assert_eq!(attributes(numbered(20)).unwrap().len(), 20);
        assert!(attributes(numbered(21)).is_err());
    }

    #[test]
    fn names_and_values_are_bounded() {
        for (key, value) in [
            (String::new(), String::new()),
            ("k".repeat(65), String::new()),
            ("k".to_owned(), "v".repeat(501)),
            ("k".to_owned(), "\u{0}".to_owned()),
            ("k\n".to_owned(), String::new()),
        ] {
            assert!(attributes([(key.clone(), value)]).is_err(), "{key:?}");
        }
    }

    #[test]
    fn they_are_a_plain_object() {
        let json = r#"{"tier":"premium","weight_g":"500"}"#;
        let read: Attributes = serde_json::from_str(json).unwrap();
        assert_eq!(read.get("weight_g"), Some("500"));
        assert_eq!(serde_json::to_string(&read).unwrap(), json);
    }
}
