//! The committed OpenAPI document is the one that the program prints and serves.

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
