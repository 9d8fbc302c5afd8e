//! Bodies of any length, read as they come.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, header};
use tokio::time::timeout;

use crate::problem::{Kind, Problem};

/// How long a client may pause within a body. Time in which nothing is asked of it, because what came before is still being
/// worked on, does not count.
pub const IDLE_MAX: Duration = Duration::from_secs(30);

/// A body as a client sends it, piece by piece; nothing of it is kept. Reading slowly slows the client down.
#[derive(Debug)]
pub struct Streamed {
    body: Body,
    idle_max: Duration,
}

/// Why the rest of a body does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenOff {
    /// The connection ended, or what came is not a body.
    #[error("the body ended early")]
    Ended,
    /// Nothing came for [`IDLE_MAX`].
    #[error("nothing more of the body came within the time that a pause may last")]
    Idle,
}

impl BrokenOff {
    /// What a client is told that can still be told something.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            BrokenOff::Ended => Kind::BAD_REQUEST,
            BrokenOff::Idle => Kind::REQUEST_TIMEOUT,
        }
    }
}

impl Streamed {
    /// The body of a request that announces one of this media type.
    ///
    /// # Errors
    /// `unsupported-media-type`.
    pub fn of(request: Request, media_type: &str) -> Result<Self, Problem> {
        if !has_media_type(request.headers(), media_type) {
            return Err(Problem::from(Kind::UNSUPPORTED_MEDIA_TYPE)
                .detail(format!("the body must be {media_type}")));
        }
        Ok(Streamed {
            body: request.into_body(),
            idle_max: IDLE_MAX,
        })
    }

    /// The next piece; none at the end of the body.
    ///
    /// # Errors
    /// When no more can come.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        use axum::body::HttpBody as _;
        loop {
            let mut body = std::pin::Pin::new(&mut self.body);
            let frame = std::future::poll_fn(|context| body.as_mut().poll_frame(context));
            match timeout(self.idle_max, frame).await {
                Err(_) => return Err(BrokenOff::Idle),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a streamed body broke off");
                    return Err(BrokenOff::Ended);
                }
                // Trailers say nothing that is asked for here.
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}

/// Whether the request is for one of these routes.
pub(super) fn is_one_of(routes: &[&str], request: &Request) -> bool {
    request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|path| routes.contains(&path.as_str()))
}

/// Compares without parameters, as `charset`.
fn has_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case(media_type))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    fn request(content_type: &str, body: Body) -> Request {
        Request::builder()
            .header(header::CONTENT_TYPE, content_type)
            .body(body)
            .unwrap()
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_then_the_end() {
        let pieces = ["a", "", "b"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        let body = Body::from_stream(stream::iter(pieces));
        let request = request("Application/X-NDJSON; charset=utf-8", body);
        let mut streamed = Streamed::of(request, "application/x-ndjson").unwrap();
        let mut whole = Vec::new();
        while let Some(piece) = streamed.next().await.unwrap() {
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole, b"ab");
    }

    #[tokio::test]
    async fn a_pause_without_end_is_noticed() {
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let request = request("application/x-ndjson", body);
        let mut streamed = Streamed::of(request, "application/x-ndjson").unwrap();
        streamed.idle_max = Duration::from_millis(1);
        assert_eq!(streamed.next().await, Err(BrokenOff::Idle));
    }

    #[test]
    fn another_media_type_is_refused() {
        for wrong in ["application/json", "text/plain", ""] {
            let request = request(wrong, Body::empty());
            let problem = Streamed::of(request, "application/x-ndjson").unwrap_err();
            assert_eq!(problem.kind(), Kind::UNSUPPORTED_MEDIA_TYPE);
        }
    }
}
