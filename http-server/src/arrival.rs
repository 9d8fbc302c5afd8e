//! The edge's findings about a request.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::Extensions;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::auth::{Authentication, Caller};
use crate::patience::Patience;
use crate::problem::Problem;
use crate::service_token::Sender;
use crate::trace::Trace;

/// The edge's findings about a request. They travel inwards as a request extension; as an extractor they are for handlers
/// that pass requests on.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub(crate) trace: Trace,
    pub(crate) correlation_id: Uuid,
    pub(crate) patience: Patience,
    pub(crate) authentication: Authentication,
    pub(crate) sender: Sender,
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) hops: u32,
}

impl Arrival {
    pub(crate) fn of(extensions: &Extensions) -> Result<&Self, Problem> {
        extensions
            .get::<Arrival>()
            .ok_or_else(|| Problem::internal("the router is not wrapped in `edge`"))
    }

    /// The caller's trace, with a span for this request.
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// `Nakku-Correlation-Id`, else the trace's id.
    #[must_use]
    pub fn correlation_id(&self) -> Uuid {
        self.correlation_id
    }

    /// The time at which the edge gives up, because an answer is of no use any more. It does not apply to streamed bodies.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.patience.deadline()
    }

    /// Tells whether the caller had less time than the edge allows (`Nakku-Timeout-Ms`).
    #[must_use]
    pub fn is_shortened(&self) -> bool {
        self.patience.is_shortened()
    }

    /// `Prefer: wait=N`, at most 30 s.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.patience.wait()
    }

    /// The address at which the request began, as far as the hops in between can be trusted. None without a connection.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.client_address
    }

    /// Tells whether one of our services sent the request.
    #[must_use]
    pub fn is_from_service(&self) -> bool {
        self.sender == Sender::Service
    }

    /// The number of our services that the request came through.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.hops
    }

    /// The user that the bearer token names; none without a token.
    ///
    /// # Errors
    /// `unauthenticated` for a token that does not hold, `service-unreachable` for one that cannot be judged now.
    pub fn caller(&self) -> Result<Option<Caller>, Problem> {
        self.authentication.optional()
    }

    /// Refuses a token that does not hold. A request without a token passes: its route says whether it needs one.
    ///
    /// # Errors
    /// As [`Arrival::caller`].
    pub fn check_token(&self) -> Result<(), Problem> {
        self.caller().map(|_| ())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Arrival {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Arrival::of(&parts.extensions).cloned()
    }
}
