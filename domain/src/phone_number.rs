//! Telephone numbers.

use crate::Invalid;
use crate::text::text_value;

/// No public number is shorter; emergency and short codes are not a customer's.
const DIGITS_MIN: usize = 5;
/// E.164.
const DIGITS_MAX: usize = 15;

text_value! {
    /// A telephone number: an optional `+` and 5 to 15 digits. Blanks, dots, hyphens, slashes and brackets are accepted
    /// and dropped, so that one number has one spelling.
    personal PhoneNumber, parse
}

fn parse(raw: String) -> Result<String, Invalid> {
    let number = without_punctuation(raw);
    let digits = number.strip_prefix('+').unwrap_or(&number);
    if (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Ok(number);
    }
    let rule =
        format!("must be {DIGITS_MIN} to {DIGITS_MAX} digits, with a leading '+' if international");
    Err(Invalid::new("phone number", rule))
}

fn without_punctuation(mut raw: String) -> String {
    raw.retain(|c| !matches!(c, ' ' | '.' | '-' | '/' | '(' | ')'));
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_dropped() {
        assert_eq!(
            "+49 (30) 123-456".parse::<PhoneNumber>().unwrap().as_str(),
            "+4930123456"
        );
        assert_eq!(
            "030/123456".parse::<PhoneNumber>().unwrap().as_str(),
            "030123456"
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for raw in ["", "+", "1234", "12345x", "++12345", "1234567890123456"] {
            assert!(raw.parse::<PhoneNumber>().is_err(), "{raw}");
        }
    }
}
