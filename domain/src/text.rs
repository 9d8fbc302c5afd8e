//! What the text value types share: one way to wrap a checked string, and the check for a line of free text.

use crate::Invalid;

/// A string that passed `parse: fn(String) -> Result<String, Invalid>`. Serialises as the string, deserialises through
/// the check. `personal` keeps the value out of `Debug`, hence out of logs and panics.
macro_rules! text_value {
    ($(#[$doc:meta])* personal $name:ident, $parse:path) => {
        $crate::text::text_value! { @type $(#[$doc])* $name, $parse }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $parse:path) => {
        $crate::text::text_value! { @type #[derive(Debug)] $(#[$doc])* $name, $parse }
    };
    (@type $(#[$meta:meta])* $name:ident, $parse:path) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The checked text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::Invalid;

            fn try_from(raw: String) -> Result<Self, Self::Error> {
                $parse(raw).map(Self)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Invalid;

            fn from_str(raw: &str) -> Result<Self, Self::Err> {
                raw.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
pub(crate) use text_value;

/// One line: trimmed, 1 to `max` characters, no control characters (the log cannot hold U+0000).
pub(crate) fn line(what: &'static str, raw: String, max: usize) -> Result<String, Invalid> {
    let text = trimmed(raw);
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(Invalid::new(
            what,
            format!("must be 1 to {max} characters without control characters"),
        ));
    }
    Ok(text)
}

/// As [`line`], but line breaks and tabs may stand in it.
pub(crate) fn paragraph(what: &'static str, raw: String, max: usize) -> Result<String, Invalid> {
    let text = trimmed(raw);
    let barred = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.is_empty() || text.chars().count() > max || text.chars().any(barred) {
        return Err(Invalid::new(
            what,
            format!(
                "must be 1 to {max} characters without control characters other than line breaks and tabs"
            ),
        ));
    }
    Ok(text)
}

/// Without white space around it; the same allocation where there is none, as on every event read back.
pub(crate) fn trimmed(raw: String) -> String {
    let text = raw.trim();
    if text.len() == raw.len() {
        raw
    } else {
        text.to_owned()
    }
}
