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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::body::{Body, Bytes};
    use axum::http::header;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use futures::channel::mpsc;
    use garde::Validate;
    use serde::Deserialize;
    use tower::ServiceExt as _;

    use super::*;
    use crate::headers::TIMEOUT_MS;
    use crate::{EdgeConfig, Json, edge};

    #[derive(Deserialize, Validate)]
    struct Nothing {}

    /// The status that the client gets, and how often a command was begun. Without a time that is left its body comes at once,
    /// else only when the client has its answer.
    async fn command(timeout_ms: Option<&str>) -> (u16, usize) {
        let begun = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&begun);
        let command = async move |_: Json<Nothing>| {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        let router = Router::new()
            .route("/", post(command))
            .route_layer(from_fn(detach));
        let tasks = Tasks::default();
        let (mut sender, body) = mpsc::channel::<Result<Bytes, std::io::Error>>(2);
        let mut request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from_stream(body))
            .unwrap();
        request.extensions_mut().insert(tasks.clone());
        let is_late = timeout_ms.is_some();
        if let Some(timeout_ms) = timeout_ms {
            let value = timeout_ms.parse().unwrap();
            request.headers_mut().insert(TIMEOUT_MS, value);
        }
        let answer = tokio::spawn(edge(router, EdgeConfig::default()).oneshot(request));
        let mut send_body = || {
            sender.try_send(Ok(Bytes::from_static(b"{}"))).unwrap();
            sender.close_channel();
        };
        let answer = if is_late {
            let answer = answer.await.unwrap();
            send_body();
            answer
        } else {
            send_body();
            answer.await.unwrap()
        };
        tasks.finished().await;
        let status = answer.unwrap().status().as_u16();
        (status, begun.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_command_whose_body_came_too_late_is_not_begun() {
        assert_eq!(command(None).await, (200, 1));
        assert_eq!(command(Some("200")).await, (503, 0));
    }
}
