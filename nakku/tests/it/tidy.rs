//! What keeps the workspace as ARCHITECTURE.md says it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Soft limits; what cannot keep them is listed with its reason.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
/// Files and functions that are longer, each with its reason.
const LONGER: &[(&str, &str)] = &[];

/// Which of our crates each may depend on.
const MAP: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("eventstore", &[]),
    ("read-models", &[]),
    ("http-server", &[]),
    ("http-client", &[]),
    ("gateway", &["http-client", "http-server"]),
    ("testing", &[]),
    (
        "faults",
        &[
            "command-api",
            "domain",
            "eventstore",
            "http-server",
            "projections",
            "reactors",
            "read-models",
            "testing",
        ],
    ),
    ("projections", &["domain", "eventstore", "read-models"]),
    (
        "command-api",
        &["domain", "eventstore", "http-client", "http-server"],
    ),
    ("query-api", &["read-models", "http-server"]),
    ("reactors", &["domain", "eventstore", "http-client"]),
    (
        "admin-api",
        &["domain", "eventstore", "read-models", "http-server"],
    ),
    (
        "nakku",
        &[
            "admin-api",
            "command-api",
            "domain",
            "eventstore",
            "gateway",
            "http-client",
            "http-server",
            "projections",
            "query-api",
            "reactors",
            "read-models",
        ],
    ),
];

/// What does I/O.
const IMPURE: [&str; 8] = [
    "tokio", "sqlx", "axum", "reqwest", "hyper", "rdkafka", "tantivy", "rand",
];

/// What reads a clock.
const CLOCKS: [&str; 4] = ["Utc::now", "Local::now", "Instant::now", "SystemTime"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn crates() -> impl Iterator<Item = &'static str> {
    MAP.iter().map(|(name, _)| *name)
}

/// The names in a table of a crate's manifest.
fn dependencies(name: &str, table: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == format!("[{table}]");
        } else if inside
            && let Some(name) = line.split(['=', '.', ' ']).next()
            && !name.is_empty()
            && !name.starts_with('#')
        {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The files with this ending below a folder.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The sources of all crates: their paths from the root, and their texts.
fn sources() -> BTreeMap<String, String> {
    crates()
        .flat_map(|name| files(&root().join(name).join("src"), "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            (name, text)
        })
        .collect()
}

#[test]
fn arrows_point_one_way() {
    let ours: BTreeSet<String> = crates().map(str::to_owned).collect();
    for (name, allowed) in MAP {
        let found: BTreeSet<String> = dependencies(name, "dependencies")
            .intersection(&ours)
            .cloned()
            .collect();
        let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
        let strange: Vec<_> = found.difference(&allowed).collect();
        assert!(strange.is_empty(), "{name} depends on {strange:?}");
    }
}

#[test]
fn the_map_names_every_crate() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.split("members = [").nth(1).unwrap();
    let members: BTreeSet<&str> = members
        .split(']')
        .next()
        .unwrap()
        .split(',')
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(members, crates().collect());
}

#[test]
fn the_domain_does_no_io() {
    let direct = dependencies("domain", "dependencies");
    for name in IMPURE {
        assert!(!direct.contains(name), "domain depends on {name}");
    }
    for (file, text) in sources() {
        for clock in CLOCKS {
            let reads = file.starts_with("domain/") && text.contains(clock);
            assert!(!reads, "{file} reads a clock");
        }
    }
}

#[test]
fn http_is_spoken_by_one_client() {
    const CLIENTS: [&str; 3] = ["reqwest", "ureq", "hyper-rustls"];
    for name in crates() {
        let direct = dependencies(name, "dependencies");
        for client in CLIENTS {
            let may = name == "http-client" && client == "hyper-rustls";
            assert!(
                may || !direct.contains(client),
                "{name} depends on {client}"
            );
        }
    }
    for (file, text) in sources() {
        let has_client = text.contains("hyper::client") || text.contains("client::legacy");
        let may = file.starts_with("http-client/");
        assert!(may || !has_client, "{file} has an HTTP client of its own");
    }
}

#[test]
fn the_gateway_knows_no_business_and_no_keys() {
    for (file, text) in sources() {
        let knows = ["keys_file", "KeysFile", "Signer"].map(|word| text.contains(word));
        let is_gateway = file.starts_with("gateway/") || file == "nakku/src/roles/gateway.rs";
        assert!(!is_gateway || !knows.contains(&true), "{file}");
    }
}

#[test]
fn only_the_binary_reads_the_environment() {
    for (file, text) in sources() {
        let may = ["nakku/", "testing/", "faults/"]
            .iter()
            .any(|folder| file.starts_with(folder));
        assert!(
            may || !text.contains("env::var"),
            "{file} reads the environment"
        );
    }
}

#[test]
fn only_append_writes_events_and_it_only_inserts() {
    let spaced = |text: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.join(" ").to_lowercase()
    };
    for (file, text) in sources() {
        let text = spaced(&text);
        for statement in [
            "insert into events",
            "update events",
            "delete from events",
            "truncate events",
        ] {
            assert!(!text.contains(statement), "{file}: {statement}");
        }
    }
    for path in files(&root().join("migrations"), "sql") {
        let text = spaced(&fs::read_to_string(&path).unwrap());
        let is_append = path.to_string_lossy().ends_with("_append.sql");
        assert_eq!(
            text.contains("insert into events"),
            is_append,
            "{}",
            path.display()
        );
        assert!(!text.contains("update events"), "{}", path.display());
        assert!(!text.contains("delete from events"), "{}", path.display());
    }
}

#[test]
fn every_aggregate_type_has_a_topic() {
    let topics: BTreeSet<&str> = nakku::topics::TOPICS
        .iter()
        .map(|(aggregate_type, _)| *aggregate_type)
        .collect();
    let types = domain::AGGREGATE_TYPES
        .iter()
        .map(|aggregate| aggregate.name);
    assert_eq!(topics, types.collect());
}

#[test]
fn files_stay_short_enough_to_be_read() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(file, text)| (file, text.lines().count()))
        .filter(|(file, lines)| *lines > FILE_LINES_MAX && !is_excepted(file))
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn functions_stay_short_enough_to_be_read() {
    let mut long = Vec::new();
    for (file, text) in sources() {
        for (name, lines) in functions(&text) {
            let place = format!("{file} {name}");
            if lines > FUNCTION_LINES_MAX && !is_excepted(&place) {
                long.push(format!("{place}: {lines} lines"));
            }
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_ends_of_functions_are_found() {
    let text = "impl A {\n    fn one(&self);\n    async fn two<T>(\n        &self,\n    ) {\n        let a = 1;\n    }\n}\n\
                pub(crate) const fn three() {\n    let b = 2;\n}\n";
    let found = functions(text);
    let expected = [("one", 1), ("two", 5), ("three", 3)];
    assert_eq!(
        found,
        expected.map(|(name, lines)| (name.to_owned(), lines))
    );
}

#[test]
fn exceptions_are_still_needed() {
    let sources = sources();
    for (place, reason) in LONGER {
        assert!(!reason.is_empty());
        let (file, function) = place.split_once(' ').unwrap_or((place, ""));
        let text = sources
            .get(file)
            .unwrap_or_else(|| panic!("no file {file}"));
        let is_long = if function.is_empty() {
            text.lines().count() > FILE_LINES_MAX
        } else {
            functions(text)
                .iter()
                .any(|(name, lines)| name == function && *lines > FUNCTION_LINES_MAX)
        };
        assert!(is_long, "{place} keeps the limit by now");
    }
}

fn is_excepted(place: &str) -> bool {
    LONGER.iter().any(|(excepted, _)| *excepted == place)
}

/// Every function with its number of lines. Formatted code: a function ends with the brace at its own indentation.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some(name) = function_name(code) else {
            continue;
        };
        let indentation = &line[..line.len() - code.len()];
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indentation).unwrap_or_default();
            let is_declaration = rest.ends_with(';') || rest.ends_with("{}");
            !rest.starts_with(char::is_whitespace) && (rest == "}" || is_declaration)
        };
        let end = lines[start..].iter().position(ends);
        if let Some(end) = end {
            found.push((name, end + 1));
        }
    }
    found
}

fn function_name(code: &str) -> Option<String> {
    let mut words = code.split_whitespace();
    loop {
        let word = words.next()?;
        if word == "fn" {
            let name = words.next()?;
            let end = name.find(['(', '<']).unwrap_or(name.len());
            return Some(name[..end].to_owned());
        }
        let is_modifier = word.starts_with("pub") || ["async", "const", "unsafe"].contains(&word);
        if !(is_modifier || word.starts_with("in") || word.ends_with(')')) {
            return None;
        }
    }
}
