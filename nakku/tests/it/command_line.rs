//! What the program answers before anything is started.

use std::process::{Command, Output};

fn nakku(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nakku"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn the_default_file_is_printed_as_it_is() {
    let output = nakku(&["config", "--default"], &[]);
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        nakku::config::DEFAULT_FILE
    );
}

#[test]
fn the_configuration_in_force_is_printed_with_its_origins() {
    let output = nakku(
        &["config", "--data-dir", "/srv"],
        &[("DATABASE_URL", "postgres://u:s3cret@h/d")],
    );
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "postgres://u:***@h/d",
        "environment DATABASE_URL",
        "flag --data-dir",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn the_configuration_is_printed_for_programs_too() {
    let output = nakku(&["config", "--output", "json"], &[("NAKKU_PORT", "8099")]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let port = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|setting| setting["name"] == "port");
    let expected =
        serde_json::json!({"name": "port", "value": "8099", "origin": "environment NAKKU_PORT"});
    assert_eq!(port, Some(expected));
}

#[test]
fn bad_configuration_is_one_line_and_exit_2() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let data_dir_text = data_dir.to_str().unwrap();
    let output = nakku(
        &["up", "--data-dir", data_dir_text],
        &[("KAFKA_BROKERS", "nowhere")],
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "nakku: bad configuration: kafka_brokers is 'nowhere' (environment KAFKA_BROKERS); allowed: HOST:PORT, several by comma\n"
    );
    assert!(!data_dir.exists(), "nothing is started");
}

#[test]
fn unknown_verbs_are_usage_errors() {
    let output = nakku(&["gateway"], &[]);
    assert_eq!(output.status.code(), Some(2));
}
