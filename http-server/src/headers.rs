//! Names of the request and response headers beyond HTTP's own, and how one is read.

use axum::http::{HeaderMap, HeaderName};

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
