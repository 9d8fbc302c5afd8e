//! What cannot be: one line that names it, and nothing half started.

use std::net::TcpListener;
use std::process::Output;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::process::{DataDirectory, Settings, text};

struct Machine {
    directory: DataDirectory,
    settings: Settings,
}

impl Machine {
    /// Without a database of its own.
    fn new() -> Machine {
        let directory = DataDirectory::new();
        let settings = Settings::default().with("NAKKU_DATA_DIR", directory.path());
        Machine {
            directory,
            settings,
        }
    }

    fn with_database(url: &str) -> Machine {
        let mut machine = Machine::new();
        machine.settings = machine.settings.with("DATABASE_URL", url);
        machine
    }

    /// Whether anything was put into the data directory.
    fn is_untouched(&self) -> bool {
        std::fs::read_dir(self.directory.path()).unwrap().count() == 0
    }
}

/// One line on standard error that says all of this, nothing on standard output.
#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("nakku: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "no `{part}` in {stderr}");
    }
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
}

const ROLES: [&str; 3] = ["command-api", "query-api", "admin-api"];

#[tokio::test]
async fn bad_configuration_names_the_setting() {
    let machine = Machine::new();
    let settings = machine.settings.clone().with("NAKKU_PORT", "eighty");
    let output = settings.run("up").await;
    refused(
        &output,
        2,
        &["port", "'eighty'", "NAKKU_PORT", "0 to 65535"],
    );
    for (line, variable, value, setting) in [
        (
            "up",
            "NAKKU_WEBHOOK_URL",
            "https://shop.example.org/hook",
            "webhook_secret",
        ),
        ("up", "NAKKU_SMTP_URL", "mail.example.org", "smtp_url"),
        ("react", "NAKKU_SMTP_URL", "mail.example.org", "smtp_url"),
        (
            "command-api --contexts orders",
            "USER_SERVICE_URL",
            "http://users:8081",
            "service_token",
        ),
    ] {
        let settings = machine.settings.clone().with(variable, value);
        refused(
            &settings.run(line).await,
            2,
            &["bad configuration", setting],
        );
    }
    let output = machine.settings.run("relay").await;
    refused(&output, 2, &["kafka_brokers"]);
    let output = machine.settings.run("topics").await;
    refused(&output, 2, &["kafka_brokers"]);
    assert!(machine.is_untouched());
}

#[tokio::test]
async fn a_read_model_that_is_none_is_a_usage_error() {
    let machine = Machine::new();
    for line in ["replay invoices", "project invoices"] {
        let output = machine.settings.run(line).await;
        refused(
            &output,
            2,
            &["invoices", "only products, stock, users", "orders"],
        );
    }
    assert!(machine.is_untouched());
}

#[tokio::test]
async fn a_taken_port_is_named_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let machine = Machine::new();
    let output = machine.settings.run(&format!("up --port {port}")).await;
    refused(&output, 1, &["cannot listen on", &port]);
    for role in ROLES {
        let line = format!("{role} --listen 127.0.0.1:{port}");
        refused(
            &machine.settings.run(&line).await,
            1,
            &["cannot listen on", &port],
        );
    }
    assert!(machine.is_untouched());
}

#[tokio::test]
async fn an_unreachable_database_is_named() {
    // Bound but not listening any more: nothing answers there.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let machine = Machine::with_database(&format!("postgres://shop@{closed}/shop"));
    for line in ["up --port 0", "migrate", "projections"] {
        let output = machine.settings.run(line).await;
        refused(&output, 1, &["'shop'", &closed.to_string(), "refused"]);
    }
    assert!(machine.is_untouched());
}

#[tokio::test]
async fn a_wrong_password_of_the_database_is_named_but_not_shown() {
    let database = testing::database().await;
    let options: PgConnectOptions = database.url.parse().unwrap();
    let wrong = options.password("wr0ng-s3cret").to_url_lossy().to_string();
    let machine = Machine::with_database(&wrong);
    for line in ["up --port 0", "command-api --listen 127.0.0.1:0", "migrate"] {
        let output = machine.settings.run(line).await;
        refused(&output, 1, &["cannot use the database", "password"]);
        assert!(!text(&output.stderr).contains("wr0ng-s3cret"));
    }
    assert!(machine.is_untouched());
}

#[tokio::test]
async fn an_older_schema_names_the_verb_that_mends_it() {
    let database = testing::empty_database().await;
    let machine = Machine::with_database(&database.url);
    for role in ROLES {
        let line = format!("{role} --listen 127.0.0.1:0");
        refused(&machine.settings.run(&line).await, 1, &["nakku migrate"]);
    }
    refused(&machine.settings.run("outbox").await, 1, &["nakku migrate"]);
    assert!(machine.is_untouched());

    let migrated = machine.settings.succeed("migrate").await;
    assert!(migrated.contains("migrations applied"), "{migrated}");
    let again = machine.settings.succeed("migrate").await;
    assert!(again.contains("already"), "{again}");
    machine.settings.succeed("outbox").await;
}

#[tokio::test]
async fn a_schema_of_a_newer_program_is_left_alone() {
    let database = testing::database().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (9999, 'tomorrow', true, '', 0)",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let machine = Machine::with_database(&database.url);
    for line in ["migrate", "up --port 0", "query-api --listen 127.0.0.1:0"] {
        refused(&machine.settings.run(line).await, 1, &["newer", "9999"]);
    }
}

#[tokio::test]
async fn another_keys_file_or_none_is_refused() {
    let database = testing::database().await;
    let machine = Machine::with_database(&database.url);
    machine
        .settings
        .succeed("create-admin admin@example.org")
        .await;

    let elsewhere = Machine::with_database(&database.url);
    let line = "query-api --listen 127.0.0.1:0";
    let output = elsewhere.settings.run(line).await;
    refused(&output, 1, &["keys.json", "NAKKU_KEYS_FILE"]);
    assert!(elsewhere.is_untouched(), "no new keys beside an old log");

    nakku::keys_file::KeysFile::load_or_create(&elsewhere.directory.path().join("keys.json"))
        .unwrap();
    let output = elsewhere.settings.run(line).await;
    refused(&output, 1, &["keys.json", "not the one"]);
}
