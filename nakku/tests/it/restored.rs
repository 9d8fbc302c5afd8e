//! An older copy of the database is put back beside a data directory that has gone on: what follows the log says what to
//! run, and that mends it.

use nix::sys::signal::Signal::SIGTERM;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testing::Database;
use tokio::process::Command;

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, START_MAX, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";

struct Installation {
    database: Database,
    directory: DataDirectory,
    settings: Settings,
}

impl Installation {
    async fn new() -> Installation {
        let database = testing::empty_database().await;
        let directory = DataDirectory::new();
        let settings = Settings::default()
            .with("DATABASE_URL", &database.url)
            .with("NAKKU_DATA_DIR", directory.path())
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
        Installation {
            database,
            directory,
            settings,
        }
    }

    fn name(&self) -> String {
        let (_, name) = self.database.url.rsplit_once('/').unwrap();
        name.split('?').next().unwrap().to_owned()
    }

    async fn up(&self) -> (Nakku, Api) {
        let mut up = self.settings.start("up --port 0 --no-seed");
        let visitor = Api::new(&up.ready().await);
        let admin = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;
        (up, admin)
    }

    /// Sells some products, named so, and stops.
    async fn a_day(&self, products: &[&str]) -> i64 {
        let (mut up, admin) = self.up().await;
        let position = sell(&admin, products).await;
        up.stop(SIGTERM).await;
        position
    }

    /// The rows of `nakku projections`.
    async fn projections(&self) -> Vec<Value> {
        let printed = self.settings.succeed("projections --output json").await;
        printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Sells products, named so; the last position, which the rows have come to. The index may be what is wrong.
async fn sell(admin: &Api, products: &[&str]) -> i64 {
    let mut position = "0".to_owned();
    for sku in products {
        let body = json!({
            "sku": sku, "name": format!("Product {sku}"),
            "price": {"amount_minor": 799, "currency": "EUR"},
        });
        let created = admin.post("/products", &[], &body).await.expect(201);
        position = created.position().to_owned();
    }
    let min_position = [("nakku-min-position", position.as_str())];
    admin.get("/products", &min_position).await.expect(200);
    position.parse().unwrap()
}

async fn on_the_server(statements: &[String]) {
    let mut server = PgConnection::connect(&testing::server_url()).await.unwrap();
    for statement in statements {
        sqlx::query(statement).execute(&mut server).await.unwrap();
    }
    server.close().await.unwrap();
}

/// Runs a program of PostgreSQL's.
async fn postgres(program: &str, arguments: &[&str]) {
    let binaries = Command::new("../scripts/postgres-binaries")
        .output()
        .await
        .unwrap();
    let path = std::path::Path::new(text(&binaries.stdout).trim()).join(program);
    let output = Command::new(path).args(arguments).output().await.unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        text(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_restored_is_noticed_and_mended_by_what_is_said() {
    let installation = Installation::new().await;
    let settings = &installation.settings;
    let (mut up, admin) = installation.up().await;
    sell(&admin, &["TEA", "RICE"]).await;
    let dump = installation.directory.path().join("dump");
    // Its parameters are for this program's client only.
    let (url, _) = installation.database.url.split_once('?').unwrap();
    let dump = dump.to_str().unwrap();
    postgres("pg_dump", &["--format=custom", "--file", dump, url]).await;
    let before = sell(&admin, &["SALT", "SUGAR", "FLOUR"]).await;
    admin
        .get("/search", &[("nakku-min-position", &before.to_string())])
        .await
        .expect(200);
    up.stop(SIGTERM).await;

    installation.database.pool.close().await;
    let name = installation.name();
    on_the_server(&[
        format!("drop database {name} with (force)"),
        format!("create database {name}"),
    ])
    .await;
    postgres("pg_restore", &["--dbname", url, dump]).await;
    // The lease came back too, as held by who held it then: it is waited for, here for longer than `up` takes to be ready.
    let mut restored = PgConnection::connect(&installation.database.url)
        .await
        .unwrap();
    sqlx::query("update leases set expires_at = clock_timestamp() + interval '20 seconds' where name like 'search@%'")
        .execute(&mut restored)
        .await
        .unwrap();
    restored.close().await.unwrap();
    // Rows came back with the log; the index did not, and the positions are used again.
    let (mut up, admin) = installation.up().await;
    let again = sell(&admin, &["OATS"]).await;
    assert!(again < before, "{again} and {before}");
    let mut failure = String::new();
    testing::until("the index has noticed", START_MAX, async || {
        let rows = installation.projections().await;
        let is_search = |row: &&Value| row["name"].as_str().unwrap().starts_with("search");
        let search = rows.iter().find(is_search).unwrap();
        failure = search["failure"].as_str().unwrap_or_default().to_owned();
        !failure.is_empty()
    })
    .await;
    println!("{failure}");
    up.stop(SIGTERM).await;
    for part in ["the log was rewound below position", "`nakku replay --all`"] {
        assert!(failure.contains(part), "{failure}");
    }

    let replayed = settings.succeed("replay --all --output json").await;
    for line in replayed.lines() {
        let replay: Value = serde_json::from_str(line).unwrap();
        assert_eq!(replay["state"], "switched", "{replay:#}");
    }
    is_whole(&installation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_before_the_last_start_is_gone_on_from() {
    let installation = Installation::new().await;
    installation.a_day(&["TEA", "RICE"]).await;
    installation.database.pool.close().await;
    let name = installation.name();
    let copy = format!("{name}_copy");
    on_the_server(&[format!("create database {copy} template {name}")]).await;
    installation.a_day(&["SALT", "SUGAR", "FLOUR"]).await;
    on_the_server(&[
        format!("drop database {name} with (force)"),
        format!("alter database {copy} rename to {name}"),
    ])
    .await;
    // The index of the lease before is still there, or it is built anew.
    installation.a_day(&["OATS"]).await;
    is_whole(&installation).await;
}

async fn is_whole(installation: &Installation) {
    let verified = installation.settings.succeed("verify").await;
    assert!(verified.ends_with("all is well\n"), "{verified}");
    let (mut up, visitor) = installation.up().await;
    let found = visitor.get("/search?sort=name", &[]).await.expect(200);
    assert_eq!(found.skus(), ["OATS", "RICE", "TEA"]);
    up.stop(SIGTERM).await;
    let rows = installation.projections().await;
    assert!(rows.iter().all(|row| row["failure"].is_null()), "{rows:#?}");
}
