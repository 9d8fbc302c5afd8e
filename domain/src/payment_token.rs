//! How a customer pays, as the payment provider knows it.

use crate::Invalid;
use crate::text::text_value;

const LENGTH_MAX: usize = 200;

text_value! {
    /// What a payment provider gave the customer's browser in exchange for a card: 1 to 200 of `A-Z a-z 0-9 _ -`. Whoever
    /// has it can charge the card, so it is sealed wherever it is kept.
    personal PaymentToken, parse
}

fn parse(raw: String) -> Result<String, Invalid> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if (1..=LENGTH_MAX).contains(&raw.len()) && raw.bytes().all(allowed) {
        return Ok(raw);
    }
    Err(Invalid::new(
        "payment token",
        format!("must be 1 to {LENGTH_MAX} of A-Z, a-z, 0-9, '_' and '-'"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_fits_a_header_and_is_not_shown() {
        let token: PaymentToken = "tok_ok".parse().unwrap();
        assert_eq!(token.as_str(), "tok_ok");
        assert_eq!(format!("{token:?}"), "PaymentToken(…)");
        for raw in ["", "tok ok", "tok\n", &"x".repeat(201)] {
            assert!(raw.parse::<PaymentToken>().is_err(), "{raw}");
        }
    }
}
