//! Work that must not end when its client goes away.
//!
//! hyper drops a handler as soon as its connection closes, and a time-out drops it too. A command
//! is therefore run as a task of its own; the server waits for such tasks when it drains.

use axum::extract::Request;
use axum::http::Extensions;
use axum::middleware::Next;
use axum::response::Response;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// The tasks of a server; reaches handlers as a request extension.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    running: TaskTracker,
    shutdown: CancellationToken,
}

impl Tasks {
    /// Those of a server that ends when `shutdown` says so.
    pub(crate) fn until(shutdown: CancellationToken) -> Self {
        Tasks {
            running: TaskTracker::new(),
            shutdown,
        }
    }

    /// Resolves once the server is to end: what merely waits should answer then. Never without a server.
    pub async fn shutdown(&self) {
        self.shutdown.cancelled().await;
    }

    /// The server's tasks. Without a server (a router called directly) nothing drains: tracked by
    /// nobody.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Tasks>().cloned().unwrap_or_default()
    }

    /// Runs `future` to its end, whether or not the caller waits for it; a panic inside goes on
    /// in the caller.
    pub async fn detached<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match self.running.spawn(future.in_current_span()).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Nobody aborts these tasks but a runtime that is going down, and the caller
                // goes down with it.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Resolves once no task runs any more.
    pub(crate) async fn finished(&self) {
        self.running.close();
        self.running.wait().await;
    }
}

/// Middleware for routes of commands: the whole handler is [`Tasks::detached`].
///
/// `router.route_layer(axum::middleware::from_fn(http_server::detach))`
pub async fn detach(request: Request, next: Next) -> Response {
    let tasks = Tasks::of(request.extensions());
    tasks.detached(next.run(request)).await
}
