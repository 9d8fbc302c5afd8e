//! The accept loop: HTTP/1 on hyper, because axum's own has neither a header time-out nor a bound
//! on connections or on its drain.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::tasks::Tasks;

/// Connections at a time: one costs some 20 KiB, and the usual limit of open files leaves room.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Until a request's head must be there; also how long an idle connection is kept, so a client
/// that pools them must drop them earlier. hyper's own default.
pub const HEADER_READ_MAX: Duration = Duration::from_secs(30);
/// Until the process may end after shutdown was asked for: one request's time.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// What a draining connection without a request gets to flush its last answer; also ends
/// half-sent heads and open streams, which would hold the drain up to its bound.
const DRAIN_FLUSH: Duration = Duration::from_millis(500);
/// Bytes buffered of one connection, and thereby of a request's head.
const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;
/// Pauses after an accept that failed for want of a resource (open files): at first, at most.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Bounds of a server.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Connections at a time; more wait in the kernel's queue.
    pub connections: usize,
    /// Until a request's head must be complete.
    pub header_read: Duration,
    /// Until the rest is cut off when draining.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            connections: CONNECTIONS_MAX,
            header_read: HEADER_READ_MAX,
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
        let tasks = Tasks::default();
        let connections = TaskTracker::new();
        let cut_off = CancellationToken::new();
        let permits = Arc::new(Semaphore::new(limits.connections));
        // Resolves the routes once instead of for each request.
        let router = router.with_state(());
        tracing::info!(%address, "listening");

        while let Some((stream, peer, permit)) = next(&listener, &permits, &shutdown).await {
            let connection = Connection {
                router: router.clone(),
                peer,
                tasks: tasks.clone(),
                header_read: limits.header_read,
                shutdown: shutdown.clone(),
            };
            let cut_off = cut_off.clone();
            connections.spawn(async move {
                let _permit = permit;
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
    permits: &Arc<Semaphore>,
    shutdown: &CancellationToken,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let accepted = async {
        let permit = Arc::clone(permits)
            .acquire_owned()
            .await
            .expect("never closed");
        let (stream, peer) = accept(listener).await;
        (stream, peer, permit)
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

struct Connection {
    router: Router,
    peer: SocketAddr,
    tasks: Tasks,
    header_read: Duration,
    shutdown: CancellationToken,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        let Connection {
            router,
            peer,
            tasks,
            header_read,
            shutdown,
        } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
        }
        // One token for each request whose answer has not been handed to hyper in full.
        let requests = TaskTracker::new();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let token = requests.token();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(tasks.clone());
            let mut router = router.clone();
            async move {
                let response = call(&mut router, request).await;
                Ok::<_, Infallible>(hold_until_sent(response, token))
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_read)
                .max_buf_size(CONNECTION_BUFFER_BYTES)
                .serve_connection(TokioIo::new(stream), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = shutdown.cancelled() => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = at_rest(&requests) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            // A client that resets or is too slow: its own business, but visible when asked for.
            tracing::debug!(%error, %peer, "connection ended");
        }
    }
}

async fn call(router: &mut Router, request: hyper::Request<Body>) -> Response {
    use tower::Service as _;
    match router.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Resolves when a draining connection has no request left and had time to flush.
async fn at_rest(requests: &TaskTracker) {
    requests.close();
    requests.wait().await;
    tokio::time::sleep(DRAIN_FLUSH).await;
}

/// Keeps `token` until the body was taken to its end. Bodies without a known length (event
/// streams) do not count: they would go on for as long as the client listens.
fn hold_until_sent(response: Response, token: TaskTrackerToken) -> Response {
    use hyper::body::Body as _;
    if response.body().size_hint().exact().is_none() {
        return response;
    }
    response.map(|body| {
        Body::new(Held {
            body,
            _token: token,
        })
    })
}

struct Held {
    body: Body,
    _token: TaskTrackerToken,
}

impl hyper::body::Body for Held {
    type Data = <Body as hyper::body::Body>::Data;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
