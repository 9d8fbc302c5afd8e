//! Stored events of older versions, lifted to the present ones.
//!
//! Each lifts a payload by one version, in order, and invents nothing: what an old event did not say is computed from
//! what it said, or the event stays as it is and does not parse. None refuses or panics.

use cqrs_es::persist::{EventUpcaster, SemanticVersionEventUpcaster};
use serde_json::Value;

/// Lifts stored events of older versions to the present ones, applied in order on every read. The golden files of older
/// versions stay, and must load through this list.
#[must_use]
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    vec![Box::new(SemanticVersionEventUpcaster::new(
        "inventory.adjusted",
        "2.0",
        Box::new(adjustment_says_what_was_expected),
    ))]
}

/// `inventory.adjusted` 1.0 said by how much the count was wrong (`delta`); 2.0 says what the count was taken to be
/// (`expected`), as a count sheet does. What was found is `on_hand`, in both.
fn adjustment_says_what_was_expected(mut payload: Value) -> Value {
    let number = |member: &str| payload.get(member).and_then(Value::as_i64);
    let expected = match (number("on_hand"), number("delta")) {
        (Some(on_hand), Some(delta)) => on_hand.checked_sub(delta),
        _ => None,
    };
    if let (Some(expected), Some(members)) = (expected, payload.as_object_mut()) {
        members.remove("delta");
        members.insert("expected".to_owned(), expected.into());
    }
    payload
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stock;

    #[test]
    fn what_was_expected_follows_from_what_was_found() {
        let lifted = adjustment_says_what_was_expected(json!({
            "type": "inventory.adjusted", "store_id": "store-1", "sku": "AB-BEE-001",
            "delta": -2, "reason": "broken bottles", "on_hand": 38, "reserved": 0,
        }));
        assert_eq!(
            lifted,
            json!({
                "type": "inventory.adjusted", "store_id": "store-1", "sku": "AB-BEE-001",
                "expected": 40, "reason": "broken bottles", "on_hand": 38, "reserved": 0,
            })
        );
    }

    #[test]
    fn what_no_rule_can_have_written_is_not_made_readable() {
        for (delta, on_hand) in [
            (json!(3), json!(2)),
            (json!(i64::MIN), json!(1)),
            (json!("2"), json!(1)),
            (json!(null), json!(1)),
            (json!(1), json!(1.5)),
        ] {
            let lifted = adjustment_says_what_was_expected(json!({
                "type": "inventory.adjusted", "store_id": "store-1", "sku": "AB-BEE-001",
                "delta": delta, "reason": "a mistake", "on_hand": on_hand, "reserved": 0,
            }));
            let read = serde_json::from_value::<stock::Event>(lifted.clone());
            assert!(read.is_err(), "{lifted}");
        }
        for payload in [json!(null), json!([]), json!("delta"), json!({})] {
            assert_eq!(adjustment_says_what_was_expected(payload.clone()), payload);
        }
    }
}
