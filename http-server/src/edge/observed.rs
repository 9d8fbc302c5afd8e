//! Counts, times and logs a request, also one that its client gave up: one line each, with nothing of what was asked or
//! answered but ids that mean nothing outside.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use crate::health::is_operation;
use crate::problem::Kind;
use crate::trace::Trace;

/// Label of paths that no route knows: a path itself would be an unbounded label.
const UNMATCHED: &str = "unmatched";
/// Status of a request whose client went away before the answer, as nginx counts them.
const CLIENT_GONE: u16 = 499;
/// Target of the lines, for log filters: `http_server::request=warn` keeps those that failed.
macro_rules! target {
    () => {
        "http_server::request"
    };
}

/// A running request; counted and logged when ended or dropped.
pub(super) struct Observed {
    method: &'static str,
    endpoint: Endpoint,
    began: Instant,
    span: Span,
    /// Probes and scrapes come every few seconds for ever.
    is_operation: bool,
    end: Option<End>,
}

/// What a request was answered with.
struct End {
    status: StatusCode,
    problem: Option<Kind>,
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
    pub(super) fn begin(request: &Request, trace: Trace) -> Self {
        let method = known_method(request.method());
        let endpoint = request
            .extensions()
            .get::<MatchedPath>()
            .map_or(Endpoint::Unmatched, |path| Endpoint::Matched(path.clone()));
        // Of the highest level, so that whatever is logged inside says to which request it belongs, whatever the filter.
        let span = tracing::error_span!(
            "request",
            method,
            endpoint = endpoint.as_str(),
            trace_id = trace.trace_id(),
            correlation_id = Empty,
            user_id = Empty,
        );
        Observed {
            method,
            endpoint,
            began: Instant::now(),
            span,
            is_operation: is_operation(request.uri().path()),
            end: None,
        }
    }

    /// Of this request; what is logged inside bears its ids.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(super) fn end(mut self, status: StatusCode, problem: Option<Kind>) {
        self.end = Some(End { status, problem });
    }

    fn count(&self, status: u16) {
        let endpoint = self.endpoint.as_str().to_owned();
        metrics::counter!("http_requests_total",
            "method" => self.method, "endpoint" => endpoint.clone(), "status" => status.to_string())
        .increment(1);
        metrics::histogram!("http_request_duration_seconds",
            "method" => self.method, "endpoint" => endpoint)
        .record(self.began.elapsed());
    }

    fn log(&self, status: u16) {
        let code = self.end.as_ref().and_then(|end| end.problem);
        let code = code.map(|kind| kind.code);
        let duration_ms = milliseconds(self.began);
        let _entered = self.span.enter();
        match &self.end {
            _ if self.is_operation => {
                tracing::debug!(target: target!(), status, code, duration_ms, "answered");
            }
            None => tracing::info!(target: target!(), status, duration_ms, "client gone"),
            Some(End { status: of, .. }) if *of == StatusCode::INTERNAL_SERVER_ERROR => {
                tracing::error!(target: target!(), status, code, duration_ms, "answered");
            }
            Some(End { status: of, .. }) if of.is_server_error() => {
                tracing::warn!(target: target!(), status, code, duration_ms, "answered");
            }
            Some(_) => tracing::info!(target: target!(), status, code, duration_ms, "answered"),
        }
    }
}

/// With three decimals: what is below is noise.
fn milliseconds(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

impl Drop for Observed {
    fn drop(&mut self) {
        let status = self
            .end
            .as_ref()
            .map_or(CLIENT_GONE, |end| end.status.as_u16());
        self.count(status);
        self.log(status);
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
