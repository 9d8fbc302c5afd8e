//! What the documents promise is kept by tests that exist.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Documents that name tests in backticks, in the last column of their tables.
const DOCUMENTS: [&str; 2] = ["docs/guarantees.md", "ARCHITECTURE.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every function that a test attribute stands before, or that a suite of tests lists: the parts of its path (crate,
/// folders, file), by name.
fn tests() -> BTreeMap<String, Vec<Vec<String>>> {
    let mut tests: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for file in sources(root()) {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let listed = |name: &str| lines.contains(&format!("{name},").as_str());
        for (at, line) in lines.iter().enumerate() {
            let signature = line.trim_start_matches("pub ").trim_start_matches("async ");
            let Some(name) = signature
                .strip_prefix("fn ")
                .and_then(|rest| rest.split(['(', '<']).next())
            else {
                continue;
            };
            let attributes = lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#["));
            let is_test = attributes.into_iter().any(|line| line.contains("test")) || listed(name);
            if is_test {
                tests.entry(name.to_owned()).or_default().push(parts(&file));
            }
        }
    }
    tests
}

fn parts(file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(root()).unwrap().with_extension("");
    inside
        .iter()
        .map(|part| part.to_str().unwrap().replace('-', "_"))
        .collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The rows of a document's tables that have a column `kept by`: what each promises, and the tests that it names.
fn promises(text: &str) -> Vec<(String, Vec<String>)> {
    let mut promises = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix('|') else {
            in_table = false;
            continue;
        };
        let columns: Vec<&str> = row
            .trim_end_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let last = columns.last().unwrap();
        if *last == "kept by" {
            in_table = true;
        } else if in_table && !last.starts_with("---") {
            let names = last.split('`').skip(1).step_by(2);
            let tests = names.filter(|name| is_path(name)).map(str::to_owned);
            promises.push((columns[0].to_owned(), tests.collect()));
        }
    }
    promises
}

/// Names of tests are sentences; of crates and commands they are not.
fn is_path(name: &str) -> bool {
    name.contains('_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Whether there is a test of this name, in a file whose path has the parts before it in their order.
fn exists(tests: &BTreeMap<String, Vec<Vec<String>>>, path: &str) -> bool {
    let mut before: Vec<&str> = path.split("::").collect();
    let name = before.pop().unwrap();
    let holds = |parts: &Vec<String>| {
        let mut parts = parts.iter();
        before.iter().all(|wanted| parts.any(|part| part == wanted))
    };
    tests
        .get(name)
        .is_some_and(|places| places.iter().any(holds))
}

#[test]
fn every_promise_names_a_test_that_exists() {
    let tests = tests();
    for document in DOCUMENTS {
        let promises = promises(&fs::read_to_string(root().join(document)).unwrap());
        assert!(promises.len() > 10, "{document} promises nothing");
        for (promise, named) in promises {
            assert!(!named.is_empty(), "{document}: nothing keeps: {promise}");
            for test in named {
                assert!(exists(&tests, &test), "{document}: there is no test {test}");
            }
        }
    }
}

#[test]
fn a_test_that_does_not_exist_is_noticed() {
    let tests = tests();
    let this = "a_test_that_does_not_exist_is_noticed";
    assert!(exists(&tests, this));
    assert!(exists(&tests, &format!("nakku::guarantees::{this}")));
    assert!(
        exists(&tests, "eventstore::feeds::a_rewound_log_is_noticed"),
        "of a suite"
    );
    for absent in [
        "guarantees::a_test_that_was_renamed",
        "eventstore::guarantees::a_test_that_does_not_exist_is_noticed",
        // A function, and no test.
        "nakku::guarantees::promises",
    ] {
        assert!(!exists(&tests, absent), "{absent}");
    }
    let table = "| p | kept by |\n|---|---|\n| one | `a::b_c`, and `nakku verify` |\n| two | |\n\n| x | y |\n|---|---|\n| a | `b_c` |\n";
    assert_eq!(
        promises(table),
        [
            ("one".to_owned(), vec!["a::b_c".to_owned()]),
            ("two".to_owned(), vec![])
        ]
    );
}
