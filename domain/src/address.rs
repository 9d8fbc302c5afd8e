//! Where goods are brought to.

use serde::{Deserialize, Serialize};

use crate::text::{line, paragraph, text_value};
use crate::{Country, Invalid, PersonName};

/// A word or two on a button.
const LABEL_LENGTH_MAX: usize = 50;
/// What fits on a label that is stuck to a bag.
const LINE_LENGTH_MAX: usize = 100;
const CITY_LENGTH_MAX: usize = 100;
/// The longest in use have ten.
const POSTAL_CODE_LENGTH_MAX: usize = 12;
/// What a courier reads at the door.
const NOTE_LENGTH_MAX: usize = 500;

/// A delivery address. Sealed as a whole: its JSON text is what is encrypted, so equal addresses have equal seals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// What the user calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Who opens the door, if not the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<PersonName>,
    /// Street and house, and what else leads there within the city.
    pub lines: Lines,
    /// Absent where the country has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<PostalCode>,
    /// City, town or village.
    pub city: City,
    /// Which country.
    pub country: Country,
    /// For whoever brings it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

text_value! {
    /// What a user calls an address, as `Home`: trimmed, 1 to 50 characters.
    personal Label, parse_label
}

fn parse_label(raw: String) -> Result<String, Invalid> {
    line("label", raw, LABEL_LENGTH_MAX)
}

text_value! {
    /// City, town or village: trimmed, 1 to 100 characters.
    personal City, parse_city
}

fn parse_city(raw: String) -> Result<String, Invalid> {
    line("city", raw, CITY_LENGTH_MAX)
}

text_value! {
    /// A postal code as the country writes it: trimmed, 1 to 12 ASCII letters, digits, blanks and hyphens.
    personal PostalCode, parse_postal_code
}

fn parse_postal_code(raw: String) -> Result<String, Invalid> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-');
    line("postal code", raw, POSTAL_CODE_LENGTH_MAX)
        .ok()
        .filter(|code| code.bytes().all(allowed))
        .ok_or_else(|| {
            let rule = format!(
                "must be 1 to {POSTAL_CODE_LENGTH_MAX} letters, digits, blanks and hyphens"
            );
            Invalid::new("postal code", rule)
        })
}

text_value! {
    /// What a courier is to know: trimmed, 1 to 500 characters, line breaks allowed.
    personal Note, parse_note
}

fn parse_note(raw: String) -> Result<String, Invalid> {
    paragraph("note", raw, NOTE_LENGTH_MAX)
}

text_value! {
    /// A line of an address: trimmed, 1 to 100 characters.
    personal Line, parse_line
}

fn parse_line(raw: String) -> Result<String, Invalid> {
    line("line", raw, LINE_LENGTH_MAX)
}

/// Street and house and what else leads there, in order: 1 to 4 lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Line>")]
pub struct Lines(Vec<Line>);

impl Lines {
    /// Street, house, entrance, floor.
    pub const MAX: usize = 4;

    /// The lines, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Line] {
        &self.0
    }
}

impl TryFrom<Vec<Line>> for Lines {
    type Error = Invalid;

    fn try_from(lines: Vec<Line>) -> Result<Self, Invalid> {
        if (1..=Self::MAX).contains(&lines.len()) {
            return Ok(Self(lines));
        }
        let rule = format!("must be 1 to {}", Self::MAX);
        Err(Invalid::new("lines", rule))
    }
}

impl From<Lines> for Vec<String> {
    fn from(lines: Lines) -> Self {
        lines.0.into_iter().map(Into::into).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"label":"Home","recipient":"Ada King","lines":["12 St James's Square","2nd floor"],"postal_code":"SW1Y 4JH","city":"London","country":"GB","note":"Ring twice.\nMind the engine."}"#;

    /// What is sealed in logs: its golden form, as no event shows it.
    #[test]
    fn an_address_is_read_back_as_it_was_sealed() {
        let address: Address = serde_json::from_str(FULL).unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), FULL);
        let bare = r#"{"lines":["1 Queen's Road"],"city":"Hong Kong","country":"HK"}"#;
        let address: Address = serde_json::from_str(bare).unwrap();
        assert_eq!(serde_json::to_string(&address).unwrap(), bare);
    }

    #[test]
    fn debug_output_does_not_show_it() {
        let address: Address = serde_json::from_str(FULL).unwrap();
        let shown = format!("{address:?}");
        for secret in ["Home", "Ada", "James", "SW1Y", "London", "GB", "Ring"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn every_part_has_its_rule() {
        for (parsed, raw) in [
            ("x".repeat(51).parse::<Label>().err(), "label"),
            ("\u{7}".parse::<City>().err(), "city"),
            ("1234567890123".parse::<PostalCode>().err(), "postal code"),
            ("12_34".parse::<PostalCode>().err(), "postal code"),
            ("x".repeat(501).parse::<Note>().err(), "note"),
            (" ".parse::<Line>().err(), "line"),
            (Lines::try_from(vec![]).err(), "lines"),
            (
                Lines::try_from(vec!["x".parse().unwrap(); 5]).err(),
                "lines",
            ),
        ] {
            assert_eq!(parsed.expect(raw).what(), raw);
        }
    }
}
