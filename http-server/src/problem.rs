//! Errors as clients see them: RFC 9457 `application/problem+json`.
//!
//! A [`Kind`] is one row of a table (code, status, title); a crate with codes of its own keeps a
//! table of its own. A [`Problem`] is one occurrence. The edge adds the trace id.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::headers::IDEMPOTENT_REPLAYED;
use crate::trace::Trace;

/// Media type of every error body.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What to tell a client that may simply try again: soon, but not at once.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// A kind of problem: `code` is the slug of its type URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub code: &'static str,
    pub status: StatusCode,
    pub title: &'static str,
}

impl Kind {
    /// A kind of a crate's own table.
    #[must_use]
    pub const fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Kind {
            code,
            status,
            title,
        }
    }
}

macro_rules! kinds {
    ($($name:ident $status:ident $code:literal $title:literal)*) => {
        impl Kind {
            $(#[doc = concat!("`", $code, "`: ", $title)]
            pub const $name: Kind = Kind::new(StatusCode::$status, $code, $title);)*
            /// Every kind that this crate answers with or offers.
            pub const SHARED: &[Kind] = &[$(Kind::$name),*];
        }
    };
}

kinds! {
    BAD_REQUEST             BAD_REQUEST            "bad-request"             "the request is malformed"
    IDEMPOTENCY_KEY_MISSING BAD_REQUEST            "idempotency-key-missing" "this request needs an Idempotency-Key"
    UNAUTHENTICATED         UNAUTHORIZED           "unauthenticated"         "no valid bearer token was sent"
    FORBIDDEN               FORBIDDEN              "forbidden"               "the caller's role does not permit this"
    NOT_FOUND               NOT_FOUND              "not-found"               "there is no such thing"
    METHOD_NOT_ALLOWED      METHOD_NOT_ALLOWED     "method-not-allowed"      "the path does not know this method"
    REQUEST_TIMEOUT         REQUEST_TIMEOUT        "request-timeout"         "the body did not arrive in time"
    COMMAND_IN_FLIGHT       CONFLICT               "command-in-flight"       "the same command is being carried out"
    VERSION_MISMATCH        PRECONDITION_FAILED    "version-mismatch"        "the version is not the expected one"
    PAYLOAD_TOO_LARGE       PAYLOAD_TOO_LARGE      "payload-too-large"       "the body is too large"
    UNSUPPORTED_MEDIA_TYPE  UNSUPPORTED_MEDIA_TYPE "unsupported-media-type"  "the body has a media type that is not taken here"
    INVALID_BODY            UNPROCESSABLE_ENTITY   "invalid-body"            "the body does not have the expected shape"
    IDEMPOTENCY_KEY_REUSED  UNPROCESSABLE_ENTITY   "idempotency-key-reused"  "the Idempotency-Key belongs to another request"
    TOO_MANY_REQUESTS       TOO_MANY_REQUESTS      "too-many-requests"       "the client's rate is exceeded"
    INTERNAL                INTERNAL_SERVER_ERROR  "internal"                "the server failed"
    OVERLOADED              SERVICE_UNAVAILABLE    "overloaded"              "the server has too much to do"
    PROJECTION_BEHIND       SERVICE_UNAVAILABLE    "projection-behind"       "the read model has not reached the position"
    SERVICE_UNREACHABLE     SERVICE_UNAVAILABLE    "service-unreachable"     "another service did not answer"
    OUTCOME_UNKNOWN         SERVICE_UNAVAILABLE    "outcome-unknown"         "whether the command took effect is not known yet"
}

/// A member of the body that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request's body.
    #[schema(example = "/price/currency")]
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

/// The body of every answer of 400 and above.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// `/problems/<code>`
    #[serde(rename = "type")]
    #[schema(example = "/problems/not-found")]
    pub type_uri: String,
    /// The same for every occurrence of this type.
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The stable name to branch on.
    #[schema(example = "not-found")]
    pub code: String,
    /// Trace id of the request, 32 hexadecimal digits; to be quoted to support.
    pub trace_id: Option<String>,
    /// Each wrong member of the body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One occurrence of a [`Kind`]; an `IntoResponse` and the error of every handler.
#[derive(Debug, Clone)]
pub struct Problem(Box<Occurrence>);

#[derive(Debug, Clone)]
struct Occurrence {
    kind: Kind,
    detail: Option<String>,
    errors: Vec<FieldError>,
    headers: HeaderMap,
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Problem(Box::new(Occurrence {
            kind,
            detail: None,
            errors: Vec::new(),
            headers: HeaderMap::new(),
        }))
    }
}

/// Whatever a handler did not foresee: logged, answered as an opaque 500.
impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Problem::internal(format!("{error:#}"))
    }
}

impl Problem {
    /// What happened this time; without it the title stands there.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a wrong member: a JSON pointer and what is wrong there.
    #[must_use]
    pub fn error(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.0.errors.push(FieldError {
            pointer: pointer.into(),
            detail: detail.into(),
        });
        self
    }

    /// Adds `Retry-After`, rounded up to whole seconds, at least one.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds `Idempotent-Replayed: true` where the refusal is that of an earlier request.
    #[must_use]
    pub fn replayed(self, replayed: bool) -> Self {
        if replayed {
            self.header(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"))
        } else {
            self
        }
    }

    /// The kind, as for a metric's label.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// 400: what cannot be understood.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Problem::from(Kind::BAD_REQUEST).detail(detail)
    }

    /// 422 of shape: `errors` names each wrong member.
    #[must_use]
    pub fn invalid_body(errors: Vec<FieldError>) -> Self {
        let mut problem = Problem::from(Kind::INVALID_BODY);
        problem.0.errors = errors;
        problem
    }

    /// 401 with the challenge that RFC 6750 asks for.
    #[must_use]
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Problem::from(Kind::UNAUTHENTICATED)
            .detail(detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401 for a token that was sent but is not accepted.
    #[must_use]
    pub fn invalid_token(detail: impl Into<String>) -> Self {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        Problem::unauthenticated(detail).header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 403: known, but not permitted.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Problem::from(Kind::FORBIDDEN).detail(detail)
    }

    /// 404, also for what belongs to someone else.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Problem::from(Kind::NOT_FOUND).detail(detail)
    }

    /// 412 on `If-Match`.
    #[must_use]
    pub fn version_mismatch(expected: i64, actual: i64) -> Self {
        Problem::from(Kind::VERSION_MISMATCH)
            .detail(format!("expected version {expected}, but it is {actual}"))
    }

    /// 503: refused at once, nothing was done.
    #[must_use]
    pub fn overloaded() -> Self {
        Problem::from(Kind::OVERLOADED).retry_after(RETRY_SOON)
    }

    /// 503: another service is needed for it, and nothing was done.
    #[must_use]
    pub fn service_unreachable(detail: impl Into<String>) -> Self {
        Problem::from(Kind::SERVICE_UNREACHABLE)
            .detail(detail)
            .retry_after(RETRY_SOON)
    }

    /// 503: safe to repeat with the same `Idempotency-Key`.
    #[must_use]
    pub fn outcome_unknown() -> Self {
        Problem::from(Kind::OUTCOME_UNKNOWN)
            .detail("repeat the request with the same Idempotency-Key to learn its outcome")
            .retry_after(RETRY_SOON)
    }

    /// 503: the read model stands at `actual`, the query asked for `wanted`.
    #[must_use]
    pub fn projection_behind(wanted: i64, actual: i64) -> Self {
        Problem::from(Kind::PROJECTION_BEHIND)
            .detail(format!(
                "position {wanted} was asked for, the read model is at {actual}"
            ))
            .retry_after(RETRY_SOON)
    }

    /// 500: `cause` goes to the log only; a client learns nothing of the inside.
    #[must_use]
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "request failed");
        Problem::from(Kind::INTERNAL).detail("the cause is in the server's log under the trace id")
    }

    /// The body, as sent.
    #[must_use]
    pub fn document(&self, trace_id: Option<String>) -> ProblemDocument {
        let Occurrence {
            kind,
            detail,
            errors,
            ..
        } = &*self.0;
        ProblemDocument {
            type_uri: format!("/problems/{}", kind.code),
            title: kind.title.to_owned(),
            status: kind.status.as_u16(),
            detail: detail.clone().unwrap_or_else(|| kind.title.to_owned()),
            code: kind.code.to_owned(),
            trace_id,
            errors: errors.clone(),
        }
    }

    fn body(&self, trace_id: Option<String>) -> Body {
        let document = self.document(trace_id);
        Body::from(serde_json::to_vec(&document).expect("a problem holds strings and numbers only"))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let detail = self.0.detail.as_deref().unwrap_or(self.0.kind.title);
        write!(f, "{}: {detail}", self.0.kind.code)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body(None));
        *response.status_mut() = self.0.kind.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.0.headers.clone());
        // Left for the edge, which knows the trace id and writes the body anew.
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the trace id into the body of a problem on its way out; the kind, if it is one.
pub(crate) fn add_trace_id(response: &mut Response, trace: Trace) -> Option<Kind> {
    let problem = response.extensions_mut().remove::<Problem>()?;
    *response.body_mut() = problem.body(Some(trace.trace_id()));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    Some(problem.kind())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_slugs_and_statuses_are_errors() {
        let mut codes = HashSet::new();
        for kind in Kind::SHARED {
            assert!(codes.insert(kind.code), "{} twice", kind.code);
            assert!(
                kind.code
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-')
            );
            assert!(kind.status.is_client_error() || kind.status.is_server_error());
        }
    }

    #[test]
    fn a_problem_renders_as_rfc_9457() {
        let problem = Problem::invalid_body(Vec::new()).error("/sku", "too long");
        let json = serde_json::to_value(problem.document(Some("ab".to_owned()))).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "type": "/problems/invalid-body",
                "title": "the body does not have the expected shape",
                "status": 422,
                "detail": "the body does not have the expected shape",
                "code": "invalid-body",
                "trace_id": "ab",
                "errors": [{"pointer": "/sku", "detail": "too long"}],
            })
        );
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let seconds = |wait| {
            let response = Problem::overloaded().retry_after(wait).into_response();
            response.headers()[header::RETRY_AFTER]
                .to_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(seconds(Duration::from_millis(1)), "1");
        assert_eq!(seconds(Duration::ZERO), "1");
        assert_eq!(seconds(Duration::from_millis(2001)), "3");
    }

    #[test]
    fn an_internal_cause_stays_inside() {
        let problem = Problem::from(anyhow::anyhow!("password of the database is x"));
        let text = serde_json::to_string(&problem.document(None)).unwrap();
        assert!(!text.contains("password"), "{text}");
    }
}
