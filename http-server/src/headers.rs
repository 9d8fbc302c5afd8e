//! Names of the request and response headers beyond HTTP's own, and how one is read.

use axum::http::{HeaderMap, HeaderName, header};

use crate::problem::Problem;

/// `Idempotency-Key`: makes a POST safe to repeat.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `Idempotent-Replayed: true`: the answer is the one of an earlier request.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// `Nakku-Correlation-Id`: a UUID that every effect of the request carries.
pub const CORRELATION_ID: HeaderName = HeaderName::from_static("nakku-correlation-id");
/// `Nakku-Position`: the position that a command's effect has in the log.
pub const POSITION: HeaderName = HeaderName::from_static("nakku-position");
/// `Nakku-Min-Position`: the position that a query's read model must have reached.
pub const MIN_POSITION: HeaderName = HeaderName::from_static("nakku-min-position");
/// `Nakku-Timeout-Ms`: what is left of the caller's patience, in milliseconds.
pub const TIMEOUT_MS: HeaderName = HeaderName::from_static("nakku-timeout-ms");
/// `Nakku-Service-Token`: the token by which services know each other, beside the client's `Authorization`.
pub const SERVICE_TOKEN: HeaderName = HeaderName::from_static("nakku-service-token");
/// `Nakku-Hops`: the number of services that a request came through.
pub const HOPS: HeaderName = HeaderName::from_static("nakku-hops");
/// `Forwarded` (RFC 7239): for whom a proxy asks.
pub const FORWARDED: HeaderName = header::FORWARDED;
/// `X-Forwarded-For`: the same, as proxies said it before there was a standard.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `Prefer` (RFC 7240); only `wait=N` is understood.
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// `Preference-Applied` (RFC 7240): which of the preferences was honoured.
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// `traceparent` (W3C Trace Context).
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The only value of a header.
///
/// # Errors
/// `bad-request` if it is given twice or is not visible ASCII: which of two values was meant is
/// not for the server to guess.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::bad_request(format!(
            "header {name} is given more than once"
        )));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| Problem::bad_request(format!("header {name} is not printable ASCII")))
}
