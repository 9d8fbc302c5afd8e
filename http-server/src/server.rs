//! The accept loop: HTTP/1 on hyper, because axum's own has neither a header time-out nor a bound
//! on connections or on its drain.
//!
//! There is no bound on the connections of one address: behind a gateway all clients have one. When
//! all places are taken, whoever comes gets the place of the connection that has been without a
//! request for longest, be it kept alive or half-way through a head; only connections that are
//! being answered are waited for.

mod connection;
mod patient;
mod places;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::tasks::Tasks;
use connection::Connection;
use places::{Place, Places};

/// Connections at a time: one costs some 20 KiB, and the usual limit of open files leaves room.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Until a request's head must be there; also how long an idle connection is kept, so a client
/// that pools them must drop them earlier. hyper's own default.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(30);
/// Until the process may end after shutdown was asked for: one request's time.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Until a client must have taken some more of its answer. One that reads nothing holds what was
/// written for it in memory.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// Pauses after an accept that failed for want of a resource (open files): at first, at most.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Connections at a time; beyond it those without a request give way, and where there are none
    /// new ones wait in the kernel's queue. 0 is taken as 1.
    pub connections: usize,
    /// Until a request's head must be complete.
    pub header_read: Duration,
    /// Until a client must have taken some more of its answer.
    pub write_stall: Duration,
    /// Until the rest is cut off when draining.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            connections: CONNECTIONS_MAX,
            header_read: HEADER_READ_MAX,
            write_stall: WRITE_STALL_MAX,
            drain: DRAIN_MAX,
        }
    }
}

/// A bound, not yet serving, HTTP server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    limits: ServerLimits,
}

impl Server {
    /// Takes the address; nothing is answered before [`Server::serve`].
    ///
    /// # Errors
    /// The operating system's error, with the address in its message.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        };
        let listener = TcpListener::bind(address).await.map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        Ok(Server {
            listener,
            address,
            limits: ServerLimits::default(),
        })
    }

    /// Replaces the default bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Where it listens: the port that was found where 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then refuses connections, ends those at rest, waits for running
    /// requests and [`Tasks`] up to the drain bound and cuts off the rest.
    ///
    /// # Errors
    /// None at present: errors of single connections do not end a server.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) -> io::Result<()> {
        let Server {
            listener,
            address,
            limits,
        } = self;
        let tasks = Tasks::until(shutdown.clone());
        let connections = TaskTracker::new();
        let cut_off = CancellationToken::new();
        let places = Places::new(limits.connections);
        // Resolves the routes once instead of for each request.
        let router = router.with_state(());
        tracing::info!(%address, "listening");

        while let Some((stream, peer, place)) = next(&listener, &places, &shutdown).await {
            let connection = Connection {
                router: router.clone(),
                peer,
                tasks: tasks.clone(),
                header_read: limits.header_read,
                write_stall: limits.write_stall,
                place: Arc::new(place),
                shutdown: shutdown.clone(),
            };
            let cut_off = cut_off.clone();
            connections.spawn(async move {
                cut_off.run_until_cancelled(connection.run(stream)).await;
            });
        }

        drop(listener);
        connections.close();
        let drained = async {
            connections.wait().await;
            tasks.finished().await;
        };
        if tokio::time::timeout(limits.drain, drained).await.is_err() {
            tracing::warn!(%address, connections = connections.len(), "drain bound reached, cutting off");
            cut_off.cancel();
        }
        tracing::info!(%address, "stopped");
        Ok(())
    }
}

/// The next connection, or `None` once shutdown was asked for.
async fn next(
    listener: &TcpListener,
    places: &Places,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, Place)> {
    let accepted = async {
        // Nobody gives way before somebody has come.
        let (stream, peer) = accept(listener).await;
        (stream, peer, places.take().await)
    };
    shutdown.run_until_cancelled(accepted).await
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = ACCEPT_PAUSE_MIN;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "cannot accept connections");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

/// Whether only that one connection is lost, which the client gave up while it was queued.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
