//! What the log must never show.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::golden::{self, Golden};

/// Members that hold personal data or let money be taken, in whatever event, however deep.
const PERSONAL: [&str; 6] = [
    "address",
    "email",
    "name",
    "payment_token",
    "phone",
    "token",
];

#[test]
fn personal_fields_are_sealed() {
    let mut seen = 0;
    for Golden {
        event_type, text, ..
    } in golden::files()
    {
        let payload: Value = serde_json::from_str(&text).unwrap();
        for (member, value) in members(&payload) {
            // A product's name is nobody's secret, where it is sold and where it was bought; nor that a channel is used.
            let of_product = event_type.starts_with("product.") || event_type == "order.created";
            let is_open = member == "name" && of_product || value.is_boolean();
            if PERSONAL.contains(&member) && !is_open {
                assert_sealed(value, &format!("{member} of {event_type}"));
                seen += 1;
            }
        }
        assert!(!text.contains('@'), "{event_type} shows an address");
    }
    assert!(seen >= 17, "only {seen} sealed members were found");
}

fn members(value: &Value) -> Vec<(&str, &Value)> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(name, value)| [vec![(name.as_str(), value)], members(value)].concat())
            .collect(),
        Value::Array(values) => values.iter().flat_map(members).collect(),
        _ => vec![],
    }
}

fn assert_sealed(value: &Value, what: &str) {
    let object = value
        .as_object()
        .unwrap_or_else(|| panic!("{what} is open"));
    let members: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(members, BTreeSet::from(["ciphertext", "subject"]), "{what}");
}

#[test]
fn no_event_holds_a_password_or_its_hash() {
    for Golden {
        event_type, text, ..
    } in golden::files()
    {
        let rest = text.replace("\"user.password-changed\"", "").to_lowercase();
        for secret in ["password", "hash", "argon2"] {
            assert!(!rest.contains(secret), "{event_type} speaks of a {secret}");
        }
    }
}
