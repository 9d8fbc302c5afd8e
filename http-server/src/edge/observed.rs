//! Counts and times a request, also one that its client gave up.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};

/// Label of paths that no route knows: a path itself would be an unbounded label.
const UNMATCHED: &str = "unmatched";
/// Status of a request whose client went away before the answer, as nginx counts them.
const CLIENT_GONE: &str = "499";

/// A running request; counted when ended or dropped.
pub(super) struct Observed {
    method: &'static str,
    endpoint: Endpoint,
    began: Instant,
    status: Option<StatusCode>,
}

enum Endpoint {
    Matched(MatchedPath),
    Unmatched,
}

impl Endpoint {
    fn as_str(&self) -> &str {
        match self {
            Endpoint::Matched(path) => path.as_str(),
            Endpoint::Unmatched => UNMATCHED,
        }
    }
}

impl Observed {
    pub(super) fn begin(request: &Request) -> Self {
        Observed {
            method: known_method(request.method()),
            endpoint: request
                .extensions()
                .get::<MatchedPath>()
                .map_or(Endpoint::Unmatched, |path| Endpoint::Matched(path.clone())),
            began: Instant::now(),
            status: None,
        }
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn endpoint(&self) -> &str {
        self.endpoint.as_str()
    }

    pub(super) fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let endpoint = self.endpoint().to_owned();
        let status = self
            .status
            .as_ref()
            .map_or(CLIENT_GONE, StatusCode::as_str)
            .to_owned();
        let elapsed = self.began.elapsed();
        metrics::counter!("http_requests_total",
            "method" => self.method, "endpoint" => endpoint.clone(), "status" => status)
        .increment(1);
        metrics::histogram!("http_request_duration_seconds",
            "method" => self.method, "endpoint" => endpoint)
        .record(elapsed);
    }
}

/// Clients may invent methods; labels may not.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}
