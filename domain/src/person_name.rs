//! Names of people.

use crate::Invalid;
use crate::text::{line, text_value};

/// Beyond any name on record, short enough for a label.
const LENGTH_MAX: usize = 200;

text_value! {
    /// What a person is called, as they write it: trimmed, 1 to 200 characters.
    personal PersonName, parse
}

fn parse(raw: String) -> Result<String, Invalid> {
    line("name", raw, LENGTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_any_line_of_text() {
        assert_eq!(
            " Øyvind O'Neil ".parse::<PersonName>().unwrap().as_str(),
            "Øyvind O'Neil"
        );
        for raw in ["", "  ", "a\u{0}b", "a\nb", &"x".repeat(201)] {
            assert!(raw.parse::<PersonName>().is_err(), "{raw:?}");
        }
    }
}
