//! One connection: its requests, and how it ends.

use std::convert::Infallible;
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
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::patient::Patient;
use super::places::{Place, Request};
use crate::tasks::Tasks;

/// What a draining connection without a request gets to flush its last answer; also ends
/// half-sent heads and open streams, which would hold the drain up to its bound.
const DRAIN_FLUSH: Duration = Duration::from_millis(500);
/// Bytes buffered of one connection, and the bound of a request's head and of its trailers.
const CONNECTION_BUFFER_BYTES: usize = 64 * 1024;

pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) peer: SocketAddr,
    pub(super) tasks: Tasks,
    pub(super) header_read: Duration,
    pub(super) write_stall: Duration,
    pub(super) place: Arc<Place>,
    pub(super) shutdown: CancellationToken,
}

impl Connection {
    pub(super) async fn run(self, stream: TcpStream) {
        let Connection {
            router,
            peer,
            tasks,
            header_read,
            write_stall,
            place,
            shutdown,
        } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, %peer, "cannot set TCP_NODELAY");
        }
        // One token for each request whose answer has not been handed to hyper in full.
        let requests = TaskTracker::new();
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let token = requests.token();
            let busy = place.request();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(tasks.clone());
            let mut router = router.clone();
            async move {
                let Some(busy) = busy else {
                    // The connection is closed in the next instant.
                    return std::future::pending().await;
                };
                let response = call(&mut router, request).await;
                Ok::<_, Infallible>(hold_until_sent(response, token, busy))
            }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(header_read)
                .max_buf_size(CONNECTION_BUFFER_BYTES)
                .max_header_size(CONNECTION_BUFFER_BYTES)
                .serve_connection(TokioIo::new(Patient::new(stream, write_stall)), service)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            () = shutdown.cancelled() => None,
            () = place.give_way() => Some(Ok(())),
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

/// Keeps `token` and `busy` until the body was taken to its end. A drain does not wait for bodies
/// without a known length (event streams): they would go on for as long as the client listens.
fn hold_until_sent(response: Response, token: TaskTrackerToken, busy: Request) -> Response {
    use hyper::body::Body as _;
    response.map(|body| {
        let is_bounded = body.size_hint().exact().is_some();
        Body::new(Held {
            body,
            _token: is_bounded.then_some(token),
            _busy: busy,
        })
    })
}

struct Held {
    body: Body,
    _token: Option<TaskTrackerToken>,
    _busy: Request,
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
