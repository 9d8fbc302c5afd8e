use super::*;

fn parsed(line: &str) -> Result<(Cli, Flags), clap::Error> {
    parse(std::iter::once("nakku").chain(line.split_whitespace()))
}

#[test]
fn the_command_line_is_consistent() {
    command().debug_assert();
}

#[test]
fn verbs_of_the_contract_are_taken() {
    for line in [
        "up --data-dir /srv/nakku --port 0 --no-seed",
        "command-api --listen 127.0.0.1:0 --contexts users,products",
        "query-api",
        "relay --from 0",
        "project",
        "project search stock",
        "admin-api --database-url postgres://host/db",
        "migrate",
        "topics",
        "create-admin admin@example.org",
        "import catalogue.ndjson.gz",
        "import - --output json",
        "replay search --compare-only",
        "replay --all --require-equal",
        "replay search --rollback",
        "projections --output json",
        "outbox",
        "dead-letters",
        "dead-letters list --output json",
        "dead-letters show 0198c0de-0000-7000-8000-000000000000",
        "dead-letters discard 0198c0de-0000-7000-8000-000000000000 --reason duplicate",
        "events --stream stock/store-1:AB-BEE-001 --type inventory.received --correlation x --from 7 --follow --output json",
        "verify",
        "bench append --rounds 3 --seconds 0.5 --output json",
        "bench relay --events 1000",
        "bench replay --events 1000 --products 1000",
        "sagas",
        "sagas --status parked --limit 5 --output json",
        "sagas show fulfilment-0198c0de-0000-7000-8000-00000000000a",
        "sagas retry return-0198c0de-0000-7000-8000-00000000000a --output json",
        "demo",
        "demo --orders 10 --rate 2.5 --file - --output json --url http://shop.example:80",
        "demo --file baskets.ndjson.gz --concurrency 8 --all-ok",
        "openapi",
        "config --default",
        "--config nakku.yaml config",
        "config --config nakku.yaml",
    ] {
        parsed(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn usage_errors_end_with_2() {
    for line in [
        "gateway --contexts users",
        "top",
        "bench",
        "bench append --seconds 0",
        "bench relay --rounds 0",
        "sagas --status halted",
        "sagas --limit 0",
        "sagas retry 0198c0de-0000-7000-8000-00000000000a",
        "demo --orders 0",
        "demo --rate 0",
        "demo --rate fast",
        "demo --concurrency 0",
        "up --url http://127.0.0.1:8080",
        "replay",
        "replay search --all",
        "events --stream product",
        "migrate --port 1",
        "up --listen 127.0.0.1:1",
        "query-api --contexts users",
        "dead-letters discard 0198c0de-0000-7000-8000-000000000000",
        "up --admin-password s3cret-s3cret",
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn flags_are_settings_wherever_they_stand() {
    for line in [
        "--data-dir /srv up --port 0 --no-seed",
        "up --no-seed --port 0 --data-dir /srv",
    ] {
        let (_, flags) = parsed(line).unwrap();
        let flags: Vec<(&str, &str)> = flags
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(
            flags,
            [("data_dir", "/srv"), ("port", "0"), ("seed", "false")]
        );
    }
    let (_, flags) = parsed("dead-letters list --data-dir /srv").unwrap();
    assert_eq!(flags["data_dir"], "/srv");
    assert!(parsed("up").unwrap().1.is_empty());
}

#[test]
fn help_names_the_variable_of_each_setting() {
    let help = parsed("up --help").unwrap_err().to_string();
    for variable in [
        "DATABASE_URL",
        "NAKKU_DATA_DIR",
        "NAKKU_PORT",
        "NAKKU_CONFIG",
    ] {
        assert!(help.contains(variable), "{help}");
    }
}
