use std::collections::HashMap;
use std::fs;

use secrecy::ExposeSecret;

use super::*;
use crate::output::Listed;

fn flags(given: &[(&'static str, &str)]) -> Flags {
    given
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

fn read(
    file: Option<&Path>,
    environment: &[(&str, &str)],
    given: &[(&'static str, &str)],
) -> Result<Config, ConfigError> {
    let environment: HashMap<String, String> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::read(file, &|name| environment.get(name).cloned(), &flags(given))
}

#[track_caller]
fn check_refused(environment: &[(&str, &str)], message: &str) {
    let error = read(None, environment, &[]).unwrap_err().to_string();
    assert_eq!(error, message);
    assert!(!error.contains('\n'));
}

fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nakku.yaml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn origin(config: &Config, name: &str) -> Origin {
    config
        .report()
        .settings
        .iter()
        .find(|setting| setting.name == name)
        .unwrap()
        .origin
        .clone()
}

#[test]
fn the_default_file_documents_every_setting() {
    for setting in SETTINGS {
        let is_member = |line: &str| line.starts_with(&format!("{}:", setting.name));
        assert!(
            DEFAULT_FILE.lines().any(is_member),
            "{} is missing",
            setting.name
        );
        assert!(
            DEFAULT_FILE.contains(setting.variable),
            "{} is missing",
            setting.variable
        );
        if let Some(flag) = setting.flag {
            assert!(
                DEFAULT_FILE.contains(&format!("--{flag}")),
                "--{flag} is missing"
            );
        }
    }
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = read(None, &[], &[]).unwrap();
    assert!(config.database_url.is_none());
    assert!(config.kafka_brokers.is_none());
    assert_eq!(config.data_dir, Path::new(".nakku"));
    assert_eq!(config.keys_file, Path::new(".nakku/keys.json"));
    assert_eq!(config.up_address(), "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.listen_or(8082), "127.0.0.1:8082".parse().unwrap());
    assert_eq!(
        config.contexts,
        [
            Context::Users,
            Context::Products,
            Context::Inventory,
            Context::Orders,
            Context::Payments,
            Context::Deliveries
        ]
    );
    assert!(config.seed);
    assert!(
        config
            .report()
            .settings
            .iter()
            .all(|setting| setting.origin == Origin::Default)
    );
}

#[test]
fn a_file_of_defaults_changes_nothing() {
    let (_directory, path) = file_with(DEFAULT_FILE);
    let config = read(Some(&path), &[], &[]).unwrap();
    let values = |config: &Config| -> Vec<_> {
        config
            .report()
            .settings
            .iter()
            .map(|setting| setting.value.clone())
            .collect()
    };
    assert_eq!(values(&config), values(&read(None, &[], &[]).unwrap()));
    assert_eq!(origin(&config, "port"), Origin::File(path));
    assert_eq!(origin(&config, "database_url"), Origin::Default);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (_directory, path) = file_with("topic_prefix: file-\nport: 1\nhost: 0.0.0.0\n");
    let environment = [
        ("NAKKU_TOPIC_PREFIX", "environment-"),
        ("NAKKU_PORT", "2"),
        ("NAKKU_HOST", ""),
    ];
    let config = read(Some(&path), &environment, &[("topic_prefix", "flag-")]).unwrap();

    assert_eq!(config.topic_prefix, "flag-");
    assert_eq!(
        origin(&config, "topic_prefix"),
        Origin::Flag("topic-prefix")
    );
    assert_eq!(config.port, 2);
    assert_eq!(origin(&config, "port"), Origin::Environment("NAKKU_PORT"));
    assert_eq!(
        config.host,
        IpAddr::from([0, 0, 0, 0]),
        "an empty variable is unset"
    );
    assert_eq!(origin(&config, "host"), Origin::File(path));
}

#[test]
fn the_environment_may_name_the_file() {
    let (_directory, path) = file_with("log: debug\n");
    let config = read(None, &[(FILE_VARIABLE, path.to_str().unwrap())], &[]).unwrap();
    assert_eq!(config.log, "debug");
}

#[test]
fn options_of_kafka_are_the_same_from_a_table_and_a_line() {
    let (_directory, path) = file_with(
        "kafka_options:\n  linger.ms: 5\n  sasl.password: a,b\n  enable.ssl.certificate.verification: false\n",
    );
    let from_file = read(Some(&path), &[], &[]).unwrap();
    let line = "sasl.password=\"a,b\", linger.ms=5,enable.ssl.certificate.verification=false";
    let from_line = read(None, &[("NAKKU_KAFKA_OPTIONS", line)], &[]).unwrap();
    assert_eq!(from_file.kafka_options, from_line.kafka_options);
    assert_eq!(
        from_file.kafka_options[2],
        ("sasl.password".to_owned(), "a,b".to_owned())
    );
}

#[test]
fn bad_values_name_setting_value_origin_and_what_is_allowed() {
    check_refused(
        &[("NAKKU_PORT", "eighty")],
        "bad configuration: port is 'eighty' (environment NAKKU_PORT); allowed: 0 to 65535",
    );
    check_refused(
        &[("DATABASE_URL", "mysql://root:s3cret@host/db")],
        "bad configuration: database_url is 'mysql://root:***@host/db' (environment DATABASE_URL); allowed: a PostgreSQL URL, \
         as postgres://user:password@host:5432/database",
    );
    check_refused(
        &[("KAFKA_BROKERS", "kafka")],
        "bad configuration: kafka_brokers is 'kafka' (environment KAFKA_BROKERS); allowed: HOST:PORT, several by comma",
    );
    check_refused(
        &[("NAKKU_ADMIN_PASSWORD", "short")],
        "bad configuration: admin_password is '***' (environment NAKKU_ADMIN_PASSWORD); allowed: 10 to 200 characters",
    );
}

#[test]
fn every_kind_of_bad_value_is_refused() {
    for (variable, value) in [
        ("NAKKU_DATABASE_CONNECTIONS", "1"),
        ("NAKKU_TOPIC_PARTITIONS", "0"),
        ("NAKKU_TOPIC_PREFIX", "with space"),
        ("NAKKU_KAFKA_OPTIONS", "linger.ms"),
        ("NAKKU_KAFKA_OPTIONS", "linger.ms=1,linger.ms=2"),
        ("NAKKU_HOST", "localhost:80"),
        ("NAKKU_LISTEN", "8081"),
        ("NAKKU_CONTEXTS", "users,baskets"),
        ("USER_SERVICE_URL", "users:8081"),
        ("PRODUCT_SERVICE_URL", "http://me:secret@products:8081"),
        ("NAKKU_PAYMENT_URL", "provider:80"),
        ("NAKKU_PAYMENT_TIMEOUT", "0"),
        ("NAKKU_REPLY_TIMEOUT", "soon"),
        ("NAKKU_WEBHOOK_URL", "ftp://shop.example.org"),
        ("NAKKU_RATE_PER_SECOND", "0"),
        ("NAKKU_SEED", "maybe"),
        ("NAKKU_ADMIN_EMAIL", "nobody"),
        ("NAKKU_LOG", "loud"),
        ("NAKKU_LOG_FORMAT", "xml"),
    ] {
        let error = read(None, &[(variable, value)], &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains(variable) && error.contains(value), "{error}");
    }
    let secret = read(None, &[("NAKKU_SERVICE_TOKEN", "short")], &[]).unwrap_err();
    let error = secret.to_string();
    assert!(
        error.contains("NAKKU_SERVICE_TOKEN") && !error.contains("short"),
        "{error}"
    );
}

#[test]
fn unknown_settings_of_a_file_are_refused_with_the_nearest_name() {
    let (_directory, path) = file_with("databse_url: postgres://host/db\n");
    let error = read(Some(&path), &[], &[]).unwrap_err().to_string();
    let expected = format!(
        "bad configuration: unknown setting 'databse_url' in {}; did you mean 'database_url'?",
        path.display()
    );
    assert_eq!(error, expected);

    let (_directory, path) = file_with("xyzzy: 1\n");
    let error = read(Some(&path), &[], &[]).unwrap_err().to_string();
    assert!(
        error.contains("'xyzzy'") && error.contains("nakku config --default"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_missing_or_no_list_of_settings_is_refused_by_name() {
    let error = read(Some(Path::new("/nowhere/nakku.yaml")), &[], &[])
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nowhere/nakku.yaml"), "{error}");
    for text in ["port: [", "- port\n", "port: {a: 1}\n"] {
        let (_directory, path) = file_with(text);
        let error = read(Some(&path), &[], &[]).unwrap_err().to_string();
        assert!(
            error.starts_with("bad configuration: ") && error.contains("nakku.yaml"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn the_report_shows_values_with_their_origin_and_no_secret() {
    let environment = [
        ("DATABASE_URL", "postgres://nakku:s3cret@host/nakku"),
        ("NAKKU_ADMIN_PASSWORD", "s3cret-s3cret"),
        ("NAKKU_KAFKA_OPTIONS", "sasl.password=s3cret"),
    ];
    let config = read(None, &environment, &[("data_dir", "/srv/nakku")]).unwrap();
    let report = serde_json::to_string(&config.report().settings).unwrap();
    assert!(!report.contains("s3cret"), "{report}");
    let shown = |name: &str| {
        let mut settings = config.report().settings.iter();
        let setting = settings.find(|setting| setting.name == name);
        setting.unwrap().cells()
    };
    assert_eq!(
        shown("database_url"),
        [
            "database_url",
            "postgres://nakku:***@host/nakku",
            "environment DATABASE_URL"
        ]
    );
    assert_eq!(
        shown("data_dir"),
        ["data_dir", "/srv/nakku", "flag --data-dir"]
    );
    assert_eq!(
        shown("keys_file"),
        ["keys_file", "/srv/nakku/keys.json", "default"]
    );
    assert_eq!(
        config.admin_password.unwrap().expose_secret(),
        "s3cret-s3cret"
    );
}
