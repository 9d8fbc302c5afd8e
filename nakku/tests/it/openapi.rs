//! The committed OpenAPI document is the one that the program prints and serves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Set to rewrite the committed document.
const UPDATE: &str = "UPDATE_GOLDEN";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi.json")
}

/// The committed document.
pub fn committed() -> Value {
    let text = fs::read_to_string(path()).expect("openapi.json is committed");
    serde_json::from_str(&text).unwrap()
}

/// Two crates that call different things by one name would have one of them described as the other.
#[test]
fn no_name_means_two_things() {
    let documents = [
        command_api::document(),
        query_api::document(),
        admin_api::document(),
    ];
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    for document in documents {
        let document = serde_json::to_value(document).unwrap();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let shape = shape(schema);
            let same = known.entry(name.clone()).or_insert_with(|| shape.clone());
            assert_eq!(*same, shape, "{name}");
        }
    }
}

/// Which members there are, of which types; without what is said of them.
fn shape(schema: &Value) -> Value {
    const SAYS: [&str; 3] = ["type", "$ref", "required"];
    match schema {
        Value::Object(members) => members
            .iter()
            .filter(|(name, said)| SAYS.contains(&name.as_str()) || said.is_object())
            .filter(|(name, _)| *name != "example")
            .map(|(name, said)| (name.clone(), shape(said)))
            .collect(),
        said => said.clone(),
    }
}

#[test]
fn the_committed_document_is_the_one_that_is_generated() {
    let document = nakku::verbs::openapi_document();
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var_os(UPDATE).is_some() {
        fs::write(path(), &text).unwrap();
    }
    let committed = fs::read_to_string(path()).unwrap_or_default();
    assert!(
        committed == text,
        "openapi.json differs from the routes: run the tests with {UPDATE}=1 and look at the change"
    );
}
