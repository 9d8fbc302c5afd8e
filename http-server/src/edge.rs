//! The layer around every route of a role.
//!
//! From the outside in: trace, metrics and the log's line · health and metrics pass by here ·
//! malformed conditions (400), overload (503), bearer token, rate (429), unknown parameters (400),
//! size (413) · the time-out · panics (500) · the routes, with problems for unknown paths and methods.

mod observed;
mod rate;
pub mod streaming;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::auth::Authentication;
use crate::context::{Arrival, prefer_wait};
use crate::headers::{self, CORRELATION_ID};
use crate::health::is_operation;
use crate::openapi::KnownQueries;
use crate::problem::{self, Kind, Problem};
use crate::token::Verifier;
use crate::trace::Trace;
use observed::Observed;
use rate::RateLimit;

/// Size of a request's body. Larger things (a catalogue) are streamed.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Time of a request beyond what its `Prefer: wait` asks for.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);
/// The longest `Prefer: wait` that any route honours; more is cut to it.
pub const PREFER_WAIT_MAX: Duration = Duration::from_secs(30);
/// Requests of one client per second, and at once after a pause. Generous: it is there for
/// clients that run wild, not for billing.
pub const RATE_PER_SECOND: u32 = 1_000;
pub const RATE_BURST: u32 = 2_000;
/// Requests running at a time; beyond that they are refused at once. Waiting requests count,
/// and a running one holds at most its body and its answer: some 500 KiB each at the very worst.
pub const RUNNING_MAX: usize = 4_096;

/// Bounds of the edge.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Time of a request beyond what its `Prefer: wait` asks for.
    pub request: Duration,
    /// Sustained requests of one client per second; 0 is taken as 1.
    pub rate_per_second: u32,
    /// Requests that one client may send at once after a pause; 0 is taken as 1.
    pub rate_burst: u32,
    /// Requests running at a time.
    pub running: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: BODY_BYTES_MAX,
            request: REQUEST_MAX,
            rate_per_second: RATE_PER_SECOND,
            rate_burst: RATE_BURST,
            running: RUNNING_MAX,
        }
    }
}

/// What an edge needs to know.
#[derive(Debug, Clone, Default)]
pub struct EdgeConfig {
    /// Whom bearer tokens are checked by. Without one every token is refused.
    pub verifier: Option<Verifier>,
    pub limits: Limits,
    /// Routes, as matched, whose bodies are read as they come ([`streaming::Streamed`]): instead of the request's time and
    /// the body's size, the pauses of the client are bounded.
    pub streamed: &'static [&'static str],
    /// What may stand in a query; where nothing is known of a route, anything.
    pub queries: KnownQueries,
}

/// Wraps a role's routes; to be called once, on the outermost router.
///
/// Replaces the router's fallbacks, so that unknown paths and methods are problems too.
pub fn edge(router: Router, config: EdgeConfig) -> Router {
    let body_limit = DefaultBodyLimit::max(config.limits.body_bytes);
    let state = Arc::new(Edge {
        running: Semaphore::new(config.limits.running),
        rate: RateLimit::new(config.limits.rate_per_second, config.limits.rate_burst),
        verifier: config.verifier,
        limits: config.limits,
        streamed: config.streamed,
        queries: config.queries,
    });
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(body_limit)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state, observe))
}

struct Edge {
    running: Semaphore,
    rate: RateLimit,
    verifier: Option<Verifier>,
    limits: Limits,
    streamed: &'static [&'static str],
    queries: KnownQueries,
}

async fn observe(State(edge): State<Arc<Edge>>, request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers());
    let observed = Observed::begin(&request, trace);
    let mut response = edge
        .answer(request, next, trace)
        .instrument(observed.span())
        .await;
    let problem = problem::add_trace_id(&mut response, trace);
    observed.end(response.status(), problem);
    response
}

impl Edge {
    async fn answer(&self, request: Request, next: Next, trace: Trace) -> Response {
        // An overloaded process must still be able to say that it lives.
        if is_operation(request.uri().path()) {
            return next.run(request).await;
        }
        match correlation_id(request.headers(), trace) {
            Err(problem) => problem.into_response(),
            Ok(correlation_id) => {
                Span::current().record("correlation_id", tracing::field::display(correlation_id));
                let mut response = match self.admitted(request, next, trace, correlation_id).await {
                    Ok(response) => response,
                    Err(problem) => problem.into_response(),
                };
                let value = HeaderValue::from_str(&correlation_id.to_string());
                response
                    .headers_mut()
                    .insert(CORRELATION_ID, value.expect("a UUID is printable"));
                response
            }
        }
    }

    async fn admitted(
        &self,
        mut request: Request,
        next: Next,
        trace: Trace,
        correlation_id: Uuid,
    ) -> Result<Response, Problem> {
        let arrived = Instant::now();
        let _running = self
            .running
            .try_acquire()
            .map_err(|_| Problem::overloaded())?;
        check_host(&request)?;
        reject_nul(request.uri())?;
        let authentication = self.authenticate(request.headers());
        if let Authentication::Known(caller) = &authentication {
            Span::current().record("user_id", caller.user_id.as_str());
        }
        self.rate.check(&authentication, request.extensions())?;
        self.queries.check(&request)?;
        let is_streamed = streaming::is_one_of(self.streamed, &request);
        if !is_streamed {
            self.check_announced_size(request.headers())?;
        }
        let wait = prefer_wait(request.headers()).map(|wait| wait.min(PREFER_WAIT_MAX));
        let request_max = self.limits.request;
        request.extensions_mut().insert(Arrival {
            trace,
            correlation_id,
            arrived,
            request_max,
            wait,
            authentication,
        });
        if is_streamed {
            return Ok(next.run(request).await);
        }
        let safe = request.method().is_safe();
        let limit = request_max + wait.unwrap_or_default();
        match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => Ok(response),
            // Nothing was at stake.
            Err(_) if safe => {
                Err(Problem::overloaded().detail("the request was not answered in time"))
            }
            // Its command goes on in a task of its own.
            Err(_) => Err(Problem::outcome_unknown()),
        }
    }

    fn authenticate(&self, headers: &HeaderMap) -> Authentication {
        let token = match headers::single(headers, &header::AUTHORIZATION) {
            Ok(None) => return Authentication::Anonymous,
            Ok(Some(value)) => bearer(value),
            Err(_) => None,
        };
        match (token, &self.verifier) {
            (None, _) => Authentication::Refused("the Authorization header is not a bearer token"),
            (Some(_), None) => Authentication::Refused("bearer tokens are not accepted here"),
            (Some(token), Some(verifier)) => match verifier.verify(token) {
                Ok(caller) => Authentication::Known(caller),
                Err(error) => {
                    tracing::debug!(%error, "bearer token refused");
                    Authentication::Refused("the bearer token is not valid or has expired")
                }
            },
        }
    }

    /// Bodies of unknown length are counted while they are read; this answers the rest before a
    /// byte of them was taken, also on routes that read no body.
    fn check_announced_size(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok());
        if announced.is_some_and(|bytes| bytes > self.limits.body_bytes as u64) {
            let limit = self.limits.body_bytes;
            return Err(Problem::from(Kind::PAYLOAD_TOO_LARGE)
                .detail(format!("the body may have at most {limit} bytes")));
        }
        Ok(())
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Given as a UUID, else the trace's id.
fn correlation_id(headers: &HeaderMap, trace: Trace) -> Result<Uuid, Problem> {
    headers::single(headers, &CORRELATION_ID)?.map_or(Ok(trace.as_uuid()), |text| {
        Uuid::try_parse(text)
            .map_err(|_| Problem::bad_request(format!("header {CORRELATION_ID} is not a UUID")))
    })
}

/// As RFC 9112 asks: without exactly one `Host`, HTTP/1.1 is not understood. Without a peer the router was called in
/// process, by a test.
fn check_host(request: &Request) -> Result<(), Problem> {
    let is_over_tcp = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .is_some();
    if !is_over_tcp || request.version() != Version::HTTP_11 {
        return Ok(());
    }
    match headers::single(request.headers(), &header::HOST)? {
        Some(_) => Ok(()),
        None => Err(Problem::bad_request("header host is missing")),
    }
}

/// PostgreSQL's text cannot hold U+0000, so no path or query may smuggle one in.
fn reject_nul(uri: &Uri) -> Result<(), Problem> {
    let has_nul = |text: &str| text.contains("%00");
    if has_nul(uri.path()) || uri.query().is_some_and(has_nul) {
        return Err(Problem::bad_request("the address contains U+0000"));
    }
    Ok(())
}

async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(format!("no route matches {}", uri.path()))
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::from(Kind::METHOD_NOT_ALLOWED).detail(format!("{} does not know {method}", uri.path()))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "what the layer calls has this signature"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    Problem::internal(format_args!("handler panicked: {message}")).into_response()
}
