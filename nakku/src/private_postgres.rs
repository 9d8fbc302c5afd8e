//! The private PostgreSQL server of a data directory: the system's binaries on a cluster of our own, never the system's.
//!
//! It listens on a unix socket only, in a directory that nobody else may enter. `nakku up` owns it while it runs; a verb
//! joins a running server or starts it, and whoever leaves last stops it. Two locks say who is there (`Locks`), the kernel
//! releases them even after kill -9, and `postmaster.pid` leads to a server whose owner died.

mod binaries;
mod cluster;
mod locks;
mod postmaster;
mod server;
mod server_user;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use binaries::Binaries;
use cluster::Cluster;
use locks::{Holder, Locks, Ownership, Presence};

/// Crash recovery after a kill of the machine may have minutes of log to apply.
const START_MAX: Duration = Duration::from_secs(180);
/// An immediate shutdown only has to end its processes.
const IMMEDIATE_STOP_MAX: Duration = Duration::from_secs(10);
/// How long [`Drop`] may hold up a process that ends without [`PrivatePostgres::stop`].
const DROP_STOP_MAX: Duration = Duration::from_secs(5);
/// How long `up` waits for verbs that use the data directory.
const OTHERS_MAX: Duration = Duration::from_secs(20);
/// A verb that leaves the server to others gives up its ownership at once.
const LEAVE_MAX: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The superuser of the cluster, and the one database in it.
const USER: &str = "nakku";
const DATABASE: &str = "nakku";

/// A program of PostgreSQL's packages on this machine, as `pgbench`; beside the newest server, else on the `PATH`.
pub fn client_program(name: &str) -> Option<PathBuf> {
    binaries::client_program(name)
}

/// A running private server, and this process's share in it.
///
/// End it with [`PrivatePostgres::stop`]; dropping it stops the server too, but blocks for up to some seconds.
#[derive(Debug)]
pub struct PrivatePostgres {
    cluster: Cluster,
    server: Server,
    // In this order: the presence goes before the ownership.
    presence: Option<Presence>,
    ownership: Option<Ownership>,
    locks: Locks,
}

/// How this process reaches the server.
#[derive(Debug)]
enum Server {
    /// Its own child.
    Child(Child),
    /// Started by another process; found through its socket and `postmaster.pid`.
    Joined,
    Stopped,
}

impl PrivatePostgres {
    /// Starts the server for `nakku up`, which then owns the data directory; makes the cluster on the first start.
    ///
    /// A server that a killed process left behind is stopped and started afresh.
    ///
    /// # Errors
    /// One line: another nakku uses the directory, PostgreSQL is not installed or of another major version, the server did
    /// not start (with the end of its log).
    pub async fn start(data_dir: &Path) -> anyhow::Result<PrivatePostgres> {
        let locks = Locks::new(data_dir)?;
        let ownership = own(&locks, data_dir).await?;
        let cluster = Cluster::prepare(locks.data_dir())?;
        wait_for_others(&locks, data_dir).await?;
        let presence = locks.join()?;
        server::stop_orphan(&cluster).await?;
        start_child(cluster, locks, Some(presence), ownership).await
    }

    /// Joins the running server of `data_dir`, or starts it for as long as this process, or another that joins, needs it.
    ///
    /// # Errors
    /// As [`PrivatePostgres::start`]; and when no cluster is there yet and none can be made.
    pub async fn connect_or_start(data_dir: &Path) -> anyhow::Result<PrivatePostgres> {
        let locks = Locks::new(data_dir)?;
        let end = Instant::now() + START_MAX;
        loop {
            let Some(presence) = locks.try_join()? else {
                // Somebody is stopping the server right now.
                wait_until(end, || {
                    format!(
                        "{} is being stopped by another nakku, without end",
                        data_dir.display()
                    )
                })
                .await?;
                continue;
            };
            if let Some(ownership) = locks.try_own(Holder::Verb)? {
                let cluster = Cluster::prepare(locks.data_dir())?;
                if server::answers(&cluster).await {
                    // Its owner has left or was killed; others may be using it.
                    return Ok(PrivatePostgres {
                        cluster,
                        server: Server::Joined,
                        presence: Some(presence),
                        ownership: Some(ownership),
                        locks,
                    });
                }
                server::stop_orphan(&cluster).await?;
                return start_child(cluster, locks, Some(presence), ownership).await;
            }
            if let Some(cluster) = Cluster::existing(locks.data_dir())?
                && server::answers(&cluster).await
            {
                return Ok(PrivatePostgres {
                    cluster,
                    server: Server::Joined,
                    presence: Some(presence),
                    ownership: None,
                    locks,
                });
            }
            // Its owner is starting or stopping it. Not in the way of one that waits for everybody to leave:
            drop(presence);
            wait_until(end, || {
                format!(
                    "the private server of {} belongs to {} and does not answer",
                    data_dir.display(),
                    locks.holder()
                )
            })
            .await?;
        }
    }

    /// The server's address, as sqlx and libpq take it: a URL with the socket's directory as its host.
    pub fn url(&self) -> String {
        server::url(&self.cluster)
    }

    /// Leaves the server. Its owner stops it, cleanly and within a bounded time; so does the last verb to leave one without
    /// an owner. A server that others still use, or that `nakku up` owns, goes on.
    ///
    /// # Errors
    /// When the server had to be killed: nothing durable is lost, but the next start has to recover.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let up = self
            .ownership
            .as_ref()
            .is_some_and(|ownership| ownership.holder() == Holder::Up);
        drop(self.presence.take());
        let ended = std::mem::replace(&mut self.server, Server::Stopped);
        // Nobody may join from here to the end of the server.
        let alone = self.locks.try_alone()?;
        if up {
            return server::end(ended, &self.cluster).await;
        }
        if alone.is_none() {
            return Ok(());
        }
        if self.ownership.is_none() {
            self.ownership = inherit(&self.locks).await?;
        }
        if self.ownership.is_none() {
            return Ok(());
        }
        server::end(ended, &self.cluster).await
    }
}

impl Drop for PrivatePostgres {
    /// The last resort, for a process that ends early.
    fn drop(&mut self) {
        let Server::Child(child) = &mut self.server else {
            return;
        };
        drop(self.presence.take());
        let up = self
            .ownership
            .as_ref()
            .is_some_and(|ownership| ownership.holder() == Holder::Up);
        let alone = self.locks.try_alone().ok().flatten();
        if !up && alone.is_none() {
            return;
        }
        // One that has ended takes no signal: its number may be another process's by now.
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        postmaster::fast_shutdown(child.id());
        let end = std::time::Instant::now() + DROP_STOP_MAX;
        while std::time::Instant::now() < end {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        postmaster::immediate_shutdown(child.id());
    }
}

/// Takes the data directory for `up`: at once refused by another `up`, after a while by a verb.
async fn own(locks: &Locks, data_dir: &Path) -> anyhow::Result<Ownership> {
    let end = Instant::now() + OTHERS_MAX;
    loop {
        if let Some(ownership) = locks.try_own(Holder::Up)? {
            return Ok(ownership);
        }
        let holder = locks.holder();
        if holder.is_up() || Instant::now() >= end {
            bail!(
                "the data directory {} is in use by {holder}",
                data_dir.display()
            );
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits for verbs that joined a server whose owner is gone: starting afresh would cut them off.
async fn wait_for_others(locks: &Locks, data_dir: &Path) -> anyhow::Result<()> {
    let end = Instant::now() + OTHERS_MAX;
    while locks.try_alone()?.is_none() {
        wait_until(end, || {
            format!(
                "the data directory {} is in use by another nakku command",
                data_dir.display()
            )
        })
        .await?;
    }
    Ok(())
}

/// Takes over from a verb that is leaving at this moment. None where `up` owns the server, or a verb that does not leave.
async fn inherit(locks: &Locks) -> anyhow::Result<Option<Ownership>> {
    let end = Instant::now() + LEAVE_MAX;
    loop {
        let ownership = locks.try_own(Holder::Verb)?;
        if ownership.is_some() || locks.holder().is_up() || Instant::now() >= end {
            return Ok(ownership);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Sleeps for a moment, or fails once `end` has come.
async fn wait_until(end: Instant, error: impl FnOnce() -> String) -> anyhow::Result<()> {
    if Instant::now() >= end {
        bail!(error());
    }
    tokio::time::sleep(POLL_INTERVAL).await;
    Ok(())
}

async fn start_child(
    cluster: Cluster,
    locks: Locks,
    presence: Option<Presence>,
    ownership: Ownership,
) -> anyhow::Result<PrivatePostgres> {
    let binaries = Binaries::find(cluster.major()?)?;
    cluster.initialize(&binaries)?;
    cluster.remove_leftovers()?;

    let log = locks.data_dir().join("postgres.log");
    let log_start = server::rotate(&log)?;
    let child = server::spawn(&binaries, &cluster, &log)?;
    // From here on a failure stops the child through Drop.
    let mut started = PrivatePostgres {
        cluster,
        server: Server::Child(child),
        presence,
        ownership: Some(ownership),
        locks,
    };
    if let Server::Child(child) = &mut started.server {
        server::await_ready(child, &started.cluster, &log, log_start).await?;
    }
    server::create_database(&started.cluster)
        .await
        .with_context(|| {
            format!(
                "the private server started, but is not usable (its log: {})",
                log.display()
            )
        })?;
    Ok(started)
}
