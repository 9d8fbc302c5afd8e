//! Stores.

use crate::Invalid;
use crate::text::text_value;

const LENGTH_MAX: usize = 40;

text_value! {
    /// A store, named by its operator: 1 to 40 of `a-z 0-9 -`.
    StoreId, parse
}

fn parse(raw: String) -> Result<String, Invalid> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=LENGTH_MAX).contains(&raw.len()) && raw.bytes().all(allowed) {
        return Ok(raw);
    }
    Err(Invalid::new(
        "store id",
        format!("must be 1 to {LENGTH_MAX} of a-z, 0-9 and '-'"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_id_is_a_lower_case_slug() {
        assert_eq!("store-1".parse::<StoreId>().unwrap().as_str(), "store-1");
        for raw in ["", "Store", "a:b", "a b", &"x".repeat(41)] {
            assert!(raw.parse::<StoreId>().is_err(), "{raw}");
        }
    }
}
