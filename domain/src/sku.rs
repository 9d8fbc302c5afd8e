//! Stock keeping units.

use crate::Invalid;
use crate::text::text_value;

const LENGTH_MAX: usize = 64;

text_value! {
    /// A stock keeping unit: 1 to 64 of `A-Z a-z 0-9 . _ -`, case-sensitive, the same in every store.
    Sku, parse
}

fn parse(raw: String) -> Result<String, Invalid> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=LENGTH_MAX).contains(&raw.len()) && raw.bytes().all(allowed) {
        return Ok(raw);
    }
    Err(Invalid::new(
        "sku",
        format!("must be 1 to {LENGTH_MAX} of A-Z, a-z, 0-9, '.', '_' and '-'"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_a_short_printable_token() {
        for raw in ["25671", "AB-BEE-001", "a.b_c-D", &"x".repeat(64)] {
            assert_eq!(raw.parse::<Sku>().unwrap().as_str(), raw);
        }
        for raw in ["", " 25671", "a:b", "a/b", "ä", &"x".repeat(65)] {
            assert!(raw.parse::<Sku>().is_err(), "{raw}");
        }
    }
}
