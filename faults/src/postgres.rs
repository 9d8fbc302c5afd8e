//! A PostgreSQL server of a test's own, which it may end as a power cut would.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

/// Below the range from which the kernel draws outgoing ports: the port must still be free when the server comes back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Starting includes recovering from what the end left behind.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// An immediate end takes milliseconds; five seconds after it the postmaster kills what is left.
const ENDED_WITHIN: Duration = Duration::from_secs(15);

/// A running server with data of its own, durable as in production (`fsync` on). Dropping it ends it and deletes its data.
#[derive(Debug)]
pub struct Postgres {
    binaries: PathBuf,
    folder: TempDir,
    port: u16,
    password: String,
    server: Child,
}

impl Postgres {
    /// Makes and starts a server. To be called from the test's own thread: with that thread the server ends, whatever happens.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub async fn start() -> Postgres {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
        let found = Command::new(scripts.join("postgres-binaries"))
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/postgres-binaries runs");
        assert!(found.status.success(), "no PostgreSQL server is installed");
        let found = String::from_utf8(found.stdout).expect("a path");
        let binaries = PathBuf::from(found.trim());
        let folder = tempfile::Builder::new()
            .prefix("nakku-faults-")
            .tempdir()
            .expect("a temporary folder");
        let password = Uuid::new_v4().simple().to_string();
        initialise(&binaries, folder.path(), &password);
        let port = free_port();
        let server = run(&binaries, folder.path(), port);
        let postgres = Postgres {
            binaries,
            folder,
            port,
            password,
            server,
        };
        postgres.ready().await;
        postgres
    }

    /// Ends the server without a checkpoint and without waiting for anybody, and starts it again on the same port.
    ///
    /// # Panics
    /// When it does not end or does not come back.
    pub async fn restart_immediately(&mut self) {
        self.signal(Signal::SIGQUIT);
        testing::until("the server has ended", ENDED_WITHIN, async || {
            let ended = self.server.try_wait().expect("a child can be awaited");
            ended.is_some()
        })
        .await;
        self.server = run(&self.binaries, self.folder.path(), self.port);
        self.ready().await;
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A superuser's address of a database, reached through `port`: its own, or that of a proxy before it.
    pub fn url(&self, database: &str, port: u16) -> String {
        let password = &self.password;
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// Makes a database with the schema of the log.
    ///
    /// # Panics
    /// When that fails.
    pub async fn create_log(&self, database: &str) {
        let mut server = self.connect("postgres").await.expect("the server answers");
        server
            .execute(format!("create database {database}").as_str())
            .await
            .expect("a superuser may");
        let mut inside = self.connect(database).await.expect("the server answers");
        eventstore::MIGRATIONS
            .run(&mut inside)
            .await
            .expect("the migrations apply to an empty database");
    }

    async fn connect(&self, database: &str) -> sqlx::Result<PgConnection> {
        PgConnection::connect(&self.url(database, self.port)).await
    }

    async fn ready(&self) {
        testing::until("the server answers", READY_WITHIN, async || {
            match self.connect("postgres").await {
                Ok(connection) => connection.close().await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.server.id()).expect("a pid is an i32");
        // One that has ended already is past being signalled.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.signal(Signal::SIGQUIT);
        let _ = self.server.wait();
    }
}

/// A command as the user that PostgreSQL wants, for it refuses to run as root; it ends when the caller's thread does.
fn command(binary: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "INT"]);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg("--").arg(binary).stdin(Stdio::null());
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn initialise(binaries: &Path, folder: &Path, password: &str) {
    let password_file = folder.join("password");
    std::fs::write(&password_file, password).expect("the folder is new");
    if is_root() {
        let given = Command::new("chown")
            .args(["-R", "postgres:"])
            .arg(folder)
            .status();
        assert!(
            given.is_ok_and(|status| status.success()),
            "the user postgres is missing"
        );
    }
    let made = command(&binaries.join("initdb"))
        .arg("--pgdata")
        .arg(folder.join("data"))
        .args(["--username", "postgres", "--encoding", "UTF8"])
        // Plain passwords over loopback: a SCRAM exchange in an unoptimised client costs more than many a test.
        .args(["--locale", "C.UTF-8", "--auth", "password", "--no-sync"])
        .arg("--pwfile")
        .arg(&password_file)
        .current_dir(folder)
        .output()
        .expect("setpriv runs");
    let reason = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "initdb failed: {reason}");
}

fn run(binaries: &Path, folder: &Path, port: u16) -> Child {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("server.log"))
        .expect("the folder is writable");
    let errors = log.try_clone().expect("a file can be shared");
    command(&binaries.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
        .arg(folder)
        .args(["-c", "fsync=on", "-c", "max_connections=300"])
        .args(["-c", "shared_buffers=128MB"])
        .current_dir(folder)
        .stdout(log)
        .stderr(errors)
        .spawn()
        .expect("setpriv runs")
}

fn free_port() -> u16 {
    loop {
        let port = rand::random_range(PORTS);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
