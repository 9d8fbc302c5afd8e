//! The layer around every route of a role.
//!
//! From the outside in: trace, metrics and the log's line · which pages may read the answer · the token of services is taken
//! off · health and metrics pass by here · malformed conditions (400), overload and time that is up (503), bearer token,
//! rate (429), unknown parameters (400), size (413) · the time-out · panics (500) · the routes, with problems for unknown
//! paths and methods.

mod admission;
mod cors;
mod inside;
mod observed;
mod rate;
pub mod streaming;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::arrival::Arrival;
use crate::auth::Authentication;
use crate::forwarded::TrustedProxies;
use crate::headers::CORRELATION_ID;
use crate::health::is_operation;
use crate::openapi::KnownQueries;
use crate::patience::Patience;
use crate::problem::{self, Kind, Problem};
use crate::service_token::{Sender, ServiceToken};
use crate::token::Verifier;
use crate::trace::Trace;
use observed::Observed;
use rate::Rates;

pub use cors::{CorsOrigins, InvalidOrigin};
pub use inside::{hand_in, inner};
pub use rate::{CLIENTS_MAX, OWN_RATE_BURST, OWN_RATE_PER_SECOND};

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
    /// The token that other services come with. Without one nobody is taken for a service.
    pub service_token: Option<ServiceToken>,
    /// Proxies whose word on the client's address counts.
    pub trusted_proxies: TrustedProxies,
    /// Routes, as matched, whose requests are counted apart from all others, by address, whoever is logged in: they must
    /// not use up what others of an address may ask, nor the other way round.
    pub own_buckets: &'static [&'static str],
    /// Pages that may call from a browser; by default none but those of the same origin.
    pub cors: Option<CorsOrigins>,
}

/// Wraps a role's routes; to be called once, on the outermost router.
///
/// Replaces the router's fallbacks, so that unknown paths and methods are problems too.
pub fn edge(router: Router, config: EdgeConfig) -> Router {
    let body_limit = DefaultBodyLimit::max(config.limits.body_bytes);
    let Limits {
        rate_per_second,
        rate_burst,
        ..
    } = config.limits;
    let state = Arc::new(Edge {
        running: Semaphore::new(config.limits.running),
        rates: Rates::new(rate_per_second, rate_burst, config.own_buckets),
        verifier: config.verifier,
        limits: config.limits,
        streamed: config.streamed,
        queries: config.queries,
        service_token: config.service_token,
        trusted_proxies: config.trusted_proxies,
    });
    let router = router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(body_limit)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(state, admit));
    let router = match config.cors {
        Some(origins) => router.layer(origins.layer()),
        None => router,
    };
    router.layer(from_fn(observe))
}

struct Edge {
    running: Semaphore,
    rates: Rates,
    verifier: Option<Verifier>,
    limits: Limits,
    streamed: &'static [&'static str],
    queries: KnownQueries,
    service_token: Option<ServiceToken>,
    trusted_proxies: TrustedProxies,
}

async fn observe(mut request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers());
    let observed = Observed::begin(&request, trace);
    request.extensions_mut().insert(trace);
    let mut response = next.run(request).instrument(observed.span()).await;
    let problem = problem::add_trace_id(&mut response, trace);
    observed.end(response.status(), problem);
    response
}

async fn admit(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let sender = Sender::take(request.headers_mut(), edge.service_token.as_ref());
    if let Err(problem) = admission::check_framing(&request) {
        return problem.into_response();
    }
    // An overloaded process must still be able to say that it lives.
    if is_operation(request.uri().path()) {
        return next.run(request).await;
    }
    let trace = request.extensions_mut().remove::<Trace>();
    let trace = trace.unwrap_or_else(Trace::begin);
    let correlation_id = match admission::correlation_id(request.headers(), trace) {
        Ok(correlation_id) => correlation_id,
        Err(problem) => return problem.into_response(),
    };
    Span::current().record("correlation_id", tracing::field::display(correlation_id));
    let begun = Begun {
        trace,
        correlation_id,
        sender,
    };
    let mut response = match edge.admitted(request, next, begun).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    };
    let value = HeaderValue::from_str(&correlation_id.to_string());
    response
        .headers_mut()
        .insert(CORRELATION_ID, value.expect("a UUID is printable"));
    response
}

/// The identity of a request that may yet be refused.
struct Begun {
    trace: Trace,
    correlation_id: Uuid,
    sender: Sender,
}

impl Edge {
    async fn admitted(
        &self,
        mut request: Request,
        next: Next,
        begun: Begun,
    ) -> Result<Response, Problem> {
        let arrived = Instant::now();
        let _running = self
            .running
            .try_acquire()
            .map_err(|_| Problem::overloaded())?;
        admission::reject_nul(request.uri())?;
        let Begun {
            trace,
            correlation_id,
            sender,
        } = begun;
        let headers = request.headers();
        let patience = Patience::of(headers, arrived, self.limits.request, PREFER_WAIT_MAX)?;
        patience.check()?;
        let is_from_service = sender == Sender::Service;
        let client_address = self.trusted_proxies.client_of(&request, is_from_service);
        let arrival = Arrival {
            trace,
            correlation_id,
            patience,
            authentication: self.authenticate(headers, patience).await?,
            sender,
            client_address,
            hops: admission::hops(headers, sender)?,
        };
        if let Authentication::Known(caller) = &arrival.authentication {
            Span::current().record("user_id", caller.user_id.as_str());
        }
        self.rates.check(&request, &arrival)?;
        self.queries.check(&request)?;
        let is_streamed = streaming::is_one_of(self.streamed, &request);
        if !is_streamed {
            admission::check_announced_size(request.headers(), self.limits.body_bytes)?;
        }
        request.extensions_mut().insert(arrival);
        if is_streamed {
            return Ok(next.run(request).await);
        }
        let safe = request.method().is_safe();
        match tokio::time::timeout_at(patience.deadline().into(), next.run(request)).await {
            Ok(response) => Ok(response),
            // Nothing was at stake.
            Err(_) if safe => {
                Err(Problem::overloaded().detail("the request was not answered in time"))
            }
            // Its command goes on in a task of its own.
            Err(_) => Err(Problem::outcome_unknown()),
        }
    }

    /// Within the request's time, because keys may have to be waited for.
    async fn authenticate(
        &self,
        headers: &HeaderMap,
        patience: Patience,
    ) -> Result<Authentication, Problem> {
        let judged = admission::authenticate(headers, self.verifier.as_ref());
        let judged = tokio::time::timeout_at(patience.deadline().into(), judged).await;
        judged.map_err(|_| patience.check().err().unwrap_or_else(Problem::overloaded))
    }
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
