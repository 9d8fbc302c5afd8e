//! The server process: start, readiness, its address, its end.

use std::fs::{self, OpenOptions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::binaries::Binaries;
use super::cluster::Cluster;
use super::{
    DATABASE, IMMEDIATE_STOP_MAX, POLL_INTERVAL, START_MAX, Server, USER, postmaster, wait_until,
};

/// A fast shutdown writes a checkpoint; after this the server is told to end at once, which costs a recovery.
const FAST_STOP_MAX: Duration = Duration::from_secs(30);
/// A server answers on its socket at once or not at all.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Of a log that has grown beyond this, one older generation is kept.
const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// What a failed start shows of the log.
const LOG_LINES_SHOWN: usize = 8;

/// Every role of `up` together with a dozen verbs beside it.
const SERVER_CONNECTIONS_MAX: u32 = 200;
/// The default of 1 GiB makes checkpoints frequent while a catalogue goes in.
const WAL_MAX: &str = "2GB";
const SHARED_BUFFERS: &str = "256MB";

const PORT: u16 = 5432;

/// Starts the server; its output goes to `log`.
pub(super) fn spawn(binaries: &Binaries, cluster: &Cluster, log: &Path) -> anyhow::Result<Child> {
    let log_file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(log)
        .with_context(|| format!("open {}", log.display()))?;
    let mut command = binaries.command("postgres", cluster.user());
    command
        .arg("-D")
        .arg(cluster.data())
        .arg("-k")
        .arg(cluster.socket_dir())
        .args(["-p", &PORT.to_string(), "-c", "listen_addresses="])
        // What durability rests on is not left to a file.
        .args(["-c", "fsync=on", "-c", "full_page_writes=on"])
        .args([
            "-c",
            "unix_socket_permissions=0700",
            "-c",
            "logging_collector=off",
            "-c",
            "log_destination=stderr",
        ])
        .args(["-c", &format!("max_connections={SERVER_CONNECTIONS_MAX}")])
        .args([
            "-c",
            &format!("max_wal_size={WAL_MAX}"),
            "-c",
            &format!("shared_buffers={SHARED_BUFFERS}"),
        ])
        .stdin(Stdio::null())
        .stdout(log_file.try_clone().context("share the server's log")?)
        .stderr(log_file)
        // The terminal's Ctrl-C is for nakku, which still needs the server to finish what it has accepted.
        .process_group(0);
    command
        .spawn()
        .with_context(|| format!("start {}", binaries.path("postgres").display()))
}

/// Waits until the new server accepts connections.
pub(super) async fn await_ready(
    child: &mut Child,
    cluster: &Cluster,
    log: &Path,
    log_start: u64,
) -> anyhow::Result<()> {
    let end = Instant::now() + START_MAX;
    loop {
        if let Some(status) = child.try_wait().context("wait for the private server")? {
            bail!(
                "the private server did not start ({status}): {}",
                last_lines(log, log_start)
            );
        }
        if postmaster::is_ready(cluster.data(), child.id()) {
            return Ok(());
        }
        wait_until(end, || {
            format!(
                "the private server was not ready within {} s: {}",
                START_MAX.as_secs(),
                last_lines(log, log_start)
            )
        })
        .await?;
    }
}

/// Makes our database unless it is there.
pub(super) async fn create_database(cluster: &Cluster) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(&options(cluster, "postgres")).await?;
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(DATABASE)
            .fetch_one(&mut connection)
            .await?;
    if !exists {
        sqlx::query(&format!("create database {DATABASE}"))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// A socket directory stands percent-encoded where a host would.
pub(super) fn url(cluster: &Cluster) -> String {
    let host = percent_encoded(cluster.socket_dir());
    format!("postgres://{USER}@{host}:{PORT}/{DATABASE}?sslmode=disable")
}

fn percent_encoded(path: &Path) -> String {
    let mut encoded = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(*byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn options(cluster: &Cluster, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(cluster.socket_dir())
        .port(PORT)
        .username(USER)
        .database(database)
        // A unix socket needs no encryption, and is not asked for it.
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

/// Whether the server accepts connections to our database.
pub(super) async fn answers(cluster: &Cluster) -> bool {
    let options = options(cluster, DATABASE);
    match tokio::time::timeout(CONNECT_MAX, PgConnection::connect_with(&options)).await {
        Ok(Ok(connection)) => connection.close().await.is_ok(),
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Stops a server that runs on this cluster without an owner.
pub(super) async fn stop_orphan(cluster: &Cluster) -> anyhow::Result<()> {
    if let Some(pid) = postmaster::running(cluster.data()) {
        tracing::info!(pid, "stopping a private server that has no owner");
        stop_process(pid, || postmaster::is_of(cluster.data(), pid)).await?;
    }
    // Sessions of a server that was killed end by themselves; a new server beside them would corrupt the data.
    let end = Instant::now() + IMMEDIATE_STOP_MAX;
    while postmaster::any_process_in(cluster.data()) {
        wait_until(end, || {
            format!(
                "processes of an earlier server still work on {}",
                cluster.data().display()
            )
        })
        .await?;
    }
    Ok(())
}

/// Ends the server as gently as the time allows.
pub(super) async fn end(server: Server, cluster: &Cluster) -> anyhow::Result<()> {
    match server {
        Server::Child(mut child) => {
            stop_process(child.id(), || matches!(child.try_wait(), Ok(None))).await?;
        }
        Server::Joined => stop_orphan(cluster).await?,
        Server::Stopped => return Ok(()),
    }
    cluster.remove_outside_directory();
    Ok(())
}

/// Fast, then immediate, then not at all gentle; each bounded.
async fn stop_process(pid: u32, mut runs: impl FnMut() -> bool) -> anyhow::Result<()> {
    let steps: [(fn(u32), Duration); 3] = [
        (postmaster::fast_shutdown, FAST_STOP_MAX),
        (postmaster::immediate_shutdown, IMMEDIATE_STOP_MAX),
        (postmaster::kill, IMMEDIATE_STOP_MAX),
    ];
    // One that has ended takes no signal: its number may be another process's by now.
    if !runs() {
        return Ok(());
    }
    for (attempt, (signal, patience)) in steps.into_iter().enumerate() {
        let end = Instant::now() + patience;
        signal(pid);
        while runs() {
            if Instant::now() >= end {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if !runs() {
            if attempt > 0 {
                bail!(
                    "the private server (process {pid}) did not stop in time and was ended at once; its next start recovers"
                );
            }
            return Ok(());
        }
    }
    bail!("the private server (process {pid}) cannot be stopped")
}

/// Puts a long log aside; returns where the new start's lines begin.
pub(super) fn rotate(log: &Path) -> anyhow::Result<u64> {
    let bytes = fs::metadata(log).map_or(0, |metadata| metadata.len());
    if bytes <= LOG_BYTES_MAX {
        return Ok(bytes);
    }
    let older = PathBuf::from(format!("{}.1", log.display()));
    fs::rename(log, &older).with_context(|| format!("put {} aside", log.display()))?;
    Ok(0)
}

/// The last lines that the server wrote since its start, on one line.
fn last_lines(log: &Path, log_start: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let since = usize::try_from(log_start)
        .ok()
        .and_then(|start| bytes.get(start..))
        .unwrap_or(&bytes);
    let text = String::from_utf8_lossy(since);
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
    format!("{} ({})", shown.join(" | "), log.display())
}

/// A command of PostgreSQL that knows nothing of this process's environment, where passwords may be.
pub(super) fn clean_command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}
