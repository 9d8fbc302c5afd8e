//! A fresh, migrated database per test, cloned from a template.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::sync::OnceCell;
use uuid::Uuid;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Held while a template is made, so that of several test processes one makes it. The bytes of `nakkutpl`.
const TEMPLATE_LOCK: i64 = i64::from_be_bytes(*b"nakkutpl");

/// Enough for what a test runs at once; a dozen tests at a time stay below the server's limit of 300.
const CONNECTIONS_MAX: u32 = 20;

/// A server that does not answer within this time fails the test instead of hanging it.
const CONNECT_SECONDS_MAX: Duration = Duration::from_secs(30);

/// Dropping a database must not hold up the end of a test for longer.
const DROP_SECONDS_MAX: Duration = Duration::from_secs(10);

/// A database of one test, dropped when this value is.
#[derive(Debug)]
pub struct Database {
    /// Connections to it.
    pub pool: PgPool,
    /// Its address, for what opens connections of its own.
    pub url: String,
    name: String,
}

/// A fresh database with every migration applied.
///
/// # Panics
/// When no server is named in the environment, or it does not do as asked.
pub async fn database() -> Database {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(make_template).await;
    create(&format!(" template {template}")).await
}

/// A fresh database without any table of ours, for tests of the migrations themselves.
///
/// # Panics
/// As [`database`].
pub async fn empty_database() -> Database {
    create("").await
}

/// The address of the test server itself, as a superuser.
///
/// # Panics
/// When no server is named in the environment.
pub fn server_url() -> String {
    crate::required(crate::DATABASE_URL_VARIABLE, "a PostgreSQL server", "")
}

async fn create(template: &str) -> Database {
    let name = format!("nakku_test_{}", Uuid::now_v7().simple());
    let mut server = connect(&server_options()).await;
    execute(&mut server, &format!("create database {name}{template}")).await;
    server
        .close()
        .await
        .expect("close the connection to the test server");

    let options = server_options().database(&name);
    let url = options.to_url_lossy().to_string();
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(CONNECT_SECONDS_MAX)
        .connect_lazy_with(options);
    Database { pool, url, name }
}

impl Drop for Database {
    /// Best effort: the server of a test run is thrown away anyway, one that was named by hand should not fill up.
    fn drop(&mut self) {
        let statement = format!("drop database if exists {} with (force)", self.name);
        // A runtime may be around this drop already, and none can be started inside it.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                tokio::time::timeout(DROP_SECONDS_MAX, async {
                    let mut server = PgConnection::connect_with(&server_options()).await?;
                    sqlx::query(&statement).execute(&mut server).await?;
                    server.close().await
                })
                .await
                .map_err(std::io::Error::other)?
                .map_err(std::io::Error::other)
            })
        })
        .join();
        match dropped {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("test database {} is left behind: {error}", self.name),
            Err(_) => eprintln!(
                "test database {} is left behind: dropping it panicked",
                self.name
            ),
        }
    }
}

/// Makes the template of these migrations unless it is there. It gets its name only when complete, so that a test run that
/// was cut off leaves no half template.
async fn make_template() -> String {
    let template = format!("nakku_template_{:016x}", migrations_digest());
    let mut server = connect(&server_options()).await;
    execute(
        &mut server,
        &format!("select pg_advisory_lock({TEMPLATE_LOCK})"),
    )
    .await;

    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&template)
            .fetch_one(&mut server)
            .await
            .expect("look for the template database");
    if !exists {
        let unfinished = format!("nakku_unfinished_{}", Uuid::now_v7().simple());
        execute(&mut server, &format!("create database {unfinished}")).await;
        let mut inside = connect(&server_options().database(&unfinished)).await;
        MIGRATIONS.run(&mut inside).await.unwrap_or_else(|error| {
            panic!("the migrations do not apply to an empty database: {error}")
        });
        inside
            .close()
            .await
            .expect("close the connection to the template database");
        execute(
            &mut server,
            &format!("alter database {unfinished} rename to {template}"),
        )
        .await;
    }

    // Closing the session releases the lock.
    server
        .close()
        .await
        .expect("close the connection to the test server");
    template
}

/// Changes with every change of a migration, so that a template of older ones is never used. FNV-1a: it names, it protects
/// nothing.
fn migrations_digest() -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    MIGRATIONS
        .iter()
        .flat_map(|migration| {
            migration
                .version
                .to_be_bytes()
                .into_iter()
                .chain(migration.checksum.iter().copied())
        })
        .fold(OFFSET, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(PRIME)
        })
}

fn server_options() -> PgConnectOptions {
    let url = server_url();
    PgConnectOptions::from_str(&url).unwrap_or_else(|error| {
        panic!(
            "{} is not a PostgreSQL URL: {error}",
            crate::DATABASE_URL_VARIABLE
        )
    })
}

async fn connect(options: &PgConnectOptions) -> PgConnection {
    match tokio::time::timeout(CONNECT_SECONDS_MAX, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => panic!(
            "the test server ({}) is not to be reached: {error}",
            crate::DATABASE_URL_VARIABLE
        ),
        Err(_) => panic!(
            "the test server ({}) does not answer",
            crate::DATABASE_URL_VARIABLE
        ),
    }
}

async fn execute(connection: &mut PgConnection, statement: &str) {
    if let Err(error) = sqlx::query(statement).execute(connection).await {
        panic!("`{statement}` failed: {error}");
    }
}
