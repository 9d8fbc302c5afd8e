//! Under which conditions a request is to be carried out.

use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use uuid::Uuid;

use crate::arrival::Arrival;
use crate::auth::Caller;
use crate::headers::{self, IDEMPOTENCY_KEY, PREFER};
use crate::problem::{Kind, Problem};
use crate::tasks::Tasks;
use crate::trace::Trace;

/// Bytes of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 200;
/// Who asks what under which conditions: the one extractor of a command's handler.
///
/// Refuses (400) an `Idempotency-Key` or `If-Match` that cannot be read, and (401) a bearer token
/// that is not valid; without any token `caller` is `None`.
#[derive(Debug, Clone)]
pub struct Ctx {
    pub caller: Option<Caller>,
    pub trace: Trace,
    /// `Nakku-Correlation-Id`, else the trace's id.
    pub correlation_id: Uuid,
    /// When a command must have been decided; before the request times out, and before the caller's own time is up.
    pub deadline: Instant,
    /// 1 to 200 printable ASCII characters.
    pub idempotency_key: Option<String>,
    /// The version in `If-Match: "<version>"`, or `W/"<version>"`.
    pub expected_version: Option<i64>,
    /// `Prefer: wait=N`, at most 30 s, and no longer than the caller waits.
    pub wait: Option<Duration>,
    /// The number of our services that the request came through.
    pub hops: u32,
    tasks: Tasks,
}

impl Ctx {
    /// The authenticated caller.
    ///
    /// # Errors
    /// `unauthenticated` for an anonymous request.
    pub fn caller(&self) -> Result<&Caller, Problem> {
        self.caller
            .as_ref()
            .ok_or_else(|| Problem::unauthenticated("this needs a bearer token"))
    }

    /// The `Idempotency-Key` where it is required.
    ///
    /// # Errors
    /// `idempotency-key-missing`.
    pub fn required_idempotency_key(&self) -> Result<&str, Problem> {
        self.idempotency_key
            .as_deref()
            .ok_or_else(|| Problem::from(Kind::IDEMPOTENCY_KEY_MISSING))
    }

    /// The trace header for what this request causes.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.trace.traceparent()
    }

    /// Runs `future` to its end even if the client goes away; the server's drain waits for it.
    pub async fn detached<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.detached(future).await
    }

    /// Resolves once the server is to end: what merely waits should answer then.
    pub async fn shutdown(&self) {
        self.tasks.shutdown().await;
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Ctx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let arrival = Arrival::of(&parts.extensions)?;
        Ok(Ctx {
            caller: arrival.authentication.optional()?,
            trace: arrival.trace,
            correlation_id: arrival.correlation_id,
            deadline: arrival.patience.command_deadline(),
            idempotency_key: idempotency_key(&parts.headers)?,
            expected_version: expected_version(&parts.headers)?,
            wait: arrival.patience.useful_wait(),
            hops: arrival.hops,
            tasks: Tasks::of(&parts.extensions),
        })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers::single(headers, &IDEMPOTENCY_KEY)? else {
        return Ok(None);
    };
    let printable = |byte: u8| matches!(byte, b' '..=b'~');
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX || !key.bytes().all(printable) {
        return Err(Problem::bad_request(format!(
            "header {IDEMPOTENCY_KEY} must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} \
             printable ASCII characters"
        )));
    }
    Ok(Some(key.to_owned()))
}

fn expected_version(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers::single(headers, &header::IF_MATCH)? else {
        return Ok(None);
    };
    // A compressed answer has a weak tag, of the same version.
    let tag = value.strip_prefix("W/").unwrap_or(value);
    tag.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            Problem::bad_request("header if-match must be one version in quotes, as \"3\"")
        })
}

/// `wait=N` of `Prefer`, in seconds. What cannot be read is ignored, as RFC 7240 asks.
pub(crate) fn prefer_wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let seconds = value.trim().trim_matches('"').parse::<u32>().ok()?;
            name.trim()
                .eq_ignore_ascii_case("wait")
                .then(|| Duration::from_secs(u64::from(seconds)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn an_idempotency_key_is_printable_and_bounded() {
        let read = |value: &str| idempotency_key(&headers(&[(IDEMPOTENCY_KEY, value)]));
        assert_eq!(read("order 1").unwrap().as_deref(), Some("order 1"));
        assert!(read(&"k".repeat(200)).is_ok());
        assert!(read(&"k".repeat(201)).is_err());
        assert!(read("").is_err());
        assert!(read("schlüssel").is_err());
        assert!(read("a\tb").is_err());
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        let mut twice = headers(&[(IDEMPOTENCY_KEY, "a")]);
        twice.append(IDEMPOTENCY_KEY, "b".parse().unwrap());
        assert!(idempotency_key(&twice).is_err());
    }

    #[test]
    fn if_match_is_one_version() {
        let read = |value: &str| expected_version(&headers(&[(header::IF_MATCH, value)]));
        assert_eq!(read("\"3\"").unwrap(), Some(3));
        assert_eq!(read("\"0\"").unwrap(), Some(0));
        assert_eq!(read("W/\"3\"").unwrap(), Some(3));
        for wrong in [
            "3",
            "*",
            "W/3",
            "w/\"3\"",
            "W/W/\"3\"",
            "W/\"3\", W/\"3\"",
            "\"-3\"",
            "\"+3\"",
            "\"\"",
            "\"3\", \"4\"",
            "\"x\"",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prefer_understands_wait_only() {
        let read = |value: &str| prefer_wait(&headers(&[(PREFER, value)]));
        assert_eq!(read("wait=5"), Some(Duration::from_secs(5)));
        assert_eq!(
            read("respond-async, WAIT = \"7\"; x=1"),
            Some(Duration::from_secs(7))
        );
        assert_eq!(read("wait=soon"), None);
        assert_eq!(read("wait=-1"), None);
        assert_eq!(read("return=minimal"), None);
    }
}
