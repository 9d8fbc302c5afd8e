//! What the log must never show.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::golden::{self, Golden};

/// Members that hold personal data, in whatever event.
const PERSONAL: [&str; 4] = ["address", "email", "name", "phone"];

#[test]
fn personal_fields_of_users_are_sealed() {
    let mut seen = 0;
    for Golden {
        event_type, text, ..
    } in golden::files()
    {
        let payload: Value = serde_json::from_str(&text).unwrap();
        for member in PERSONAL {
            match payload.get(member) {
                Some(value) if event_type.starts_with("user.") => {
                    assert_sealed(value, &format!("{member} of {event_type}"));
                    seen += 1;
                }
                // A product's name is nobody's secret.
                Some(_) => assert!(
                    event_type.starts_with("product."),
                    "{member} of {event_type}"
                ),
                None => {}
            }
        }
        assert!(!text.contains('@'), "{event_type} shows an address");
    }
    assert!(seen >= 9, "the sealed members were not found");
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
