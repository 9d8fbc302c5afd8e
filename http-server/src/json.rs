//! JSON bodies: parsed, checked for shape and validated before a handler sees them.

mod strict;

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, OptionalFromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::arrival::Arrival;
use crate::problem::{FieldError, Kind, Problem};

/// Wrong members that are named at once: nobody reads more.
const ERRORS_MAX: usize = 100;
/// Until a body must be there: a client that drips it must not hold the request's whole time.
const BODY_READ_MAX: Duration = Duration::from_secs(5);

/// A JSON body, or a JSON answer.
///
/// As an extractor: 415 for another media type, 413 over the edge's limit, 400 for what is not
/// JSON, 422 `invalid-body` with pointers for another shape (derive
/// `#[serde(deny_unknown_fields)]`), for U+0000 in a string, for a member that is given twice, for
/// numbers beyond every type and for what [`garde::Validate`] refuses.
/// `Option<Json<T>>` is `None` where no body was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + garde::Validate,
    T::Context: Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::from(Kind::UNSUPPORTED_MEDIA_TYPE)
                .detail("the body must be application/json"));
        }
        let patience = Arrival::of(request.extensions()).ok().map(|it| it.patience);
        let body = read(request, state).await?;
        // A handler that outlives its client must not begin with what came too late.
        if let Some(patience) = patience {
            patience.check()?;
        }
        parse(&body).map(Json)
    }
}

impl<T, S> OptionalFromRequest<S> for Json<T>
where
    T: DeserializeOwned + garde::Validate,
    T::Context: Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        use axum::body::HttpBody as _;
        if request.body().is_end_stream() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(request, state)
            .await
            .map(Some)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let media_type = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_READ_MAX, Bytes::from_request(request, state)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::from(Kind::PAYLOAD_TOO_LARGE))
        }
        Ok(Err(_)) => Err(Problem::bad_request("the body ended early")),
        Err(_) => Err(Problem::from(Kind::REQUEST_TIMEOUT)),
    }
}

/// Parses and validates a body.
///
/// # Errors
/// `bad-request` for what is not JSON, `invalid-body` for the rest.
pub fn parse<T>(body: &[u8]) -> Result<T, Problem>
where
    T: DeserializeOwned + garde::Validate,
    T::Context: Default,
{
    strict::check(body)?;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value: T =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| refused(&error))?;
    deserializer.end().map_err(|error| not_json(&error))?;
    value.validate().map_err(|report| invalid(&report))?;
    Ok(value)
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::bad_request(format!("the body is not JSON: {error}"))
}

fn refused(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    let message = inner.to_string();
    let detail = if inner.is_data() {
        // The pointer says where; line and column would say it again.
        message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(detail, _)| detail)
    } else {
        // It is JSON, as was seen before: so the parser puts it where a name is expected and something else stands.
        "invalid type: expected the name of a choice"
    };
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => push_pointer(&mut pointer, &index.to_string()),
            Segment::Map { key } => push_pointer(&mut pointer, key),
            // A variant is a choice of the type, not a place in the body.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    if let Some(name) = named_field(detail) {
        push_pointer(&mut pointer, name);
    }
    Problem::invalid_body(Vec::new()).error(pointer, detail)
}

/// serde reports a member that is missing or given twice at the object around it.
fn named_field(message: &str) -> Option<&str> {
    message
        .strip_prefix("missing field `")
        .or_else(|| message.strip_prefix("duplicate field `"))?
        .strip_suffix('`')
}

fn push_pointer(pointer: &mut String, segment: &str) {
    pointer.push('/');
    pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
}

fn invalid(report: &garde::Report) -> Problem {
    let mut errors: Vec<FieldError> = report
        .iter()
        .map(|(path, error)| FieldError {
            pointer: garde_pointer(path),
            detail: error.message().to_owned(),
        })
        .collect();
    // garde dives before it looks at a member itself; answers should not depend on that.
    errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    errors.truncate(ERRORS_MAX);
    Problem::invalid_body(errors)
}

/// A garde path serialises as `[[kind, component], …]`; kind `none` is no place of its own.
fn garde_pointer(path: &garde::Path) -> String {
    let components: Vec<(String, String)> = serde_json::to_value(path)
        .and_then(serde_json::from_value)
        .unwrap_or_default();
    let mut pointer = String::new();
    for (kind, component) in &components {
        if kind != "none" {
            push_pointer(&mut pointer, component);
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use garde::Validate;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[garde(length(max = 5))]
        name: String,
        #[serde(default)]
        #[garde(dive)]
        items: Vec<Item>,
        #[serde(default)]
        #[garde(skip)]
        choice: Choice,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Choice {
        #[default]
        Yes,
    }

    #[derive(Debug, PartialEq, Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Item {
        #[garde(range(min = 1))]
        quantity: i64,
    }

    fn refusal(body: &str) -> (&'static str, Vec<String>) {
        let problem = parse::<Body>(body.as_bytes()).unwrap_err();
        let document = problem.document(None);
        (
            problem.kind().code,
            document
                .errors
                .into_iter()
                .map(|error| error.pointer)
                .collect(),
        )
    }

    fn invalid_at(pointers: &[&str]) -> (&'static str, Vec<String>) {
        (
            "invalid-body",
            pointers.iter().map(|&pointer| pointer.to_owned()).collect(),
        )
    }

    #[test]
    fn a_body_of_the_right_shape_passes() {
        let body = br#"{"name":"\\u000","items":[{"quantity":1}]}"#;
        let parsed: Body = parse(body).unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!(parsed.items, [Item { quantity: 1 }]);
    }

    #[test]
    fn each_wrong_member_is_pointed_at() {
        assert_eq!(refusal(r#"{"name":1}"#), invalid_at(&["/name"]));
        assert_eq!(refusal("{}"), invalid_at(&["/name"]));
        for no_choice in ["7", "null", "[]", "{}", "\"maybe\""] {
            let body = format!(r#"{{"name":"a","choice":{no_choice}}}"#);
            assert_eq!(refusal(&body), invalid_at(&["/choice"]), "{body}");
        }
        assert_eq!(refusal("[]"), invalid_at(&[""]));
        assert_eq!(refusal("7"), invalid_at(&[""]));
        assert_eq!(
            refusal(r#"{"name":"a","a/b~c":1}"#),
            invalid_at(&["/a~1b~0c"])
        );
        assert_eq!(
            refusal(r#"{"name":"a","items":[{"quantity":1},{"quantity":"x"}]}"#),
            invalid_at(&["/items/1/quantity"])
        );
        assert_eq!(
            refusal(r#"{"name":"a","items":[{}]}"#),
            invalid_at(&["/items/0/quantity"])
        );
        assert_eq!(
            refusal(r#"{"name":"a","name":"b"}"#),
            invalid_at(&["/name"])
        );
        assert_eq!(
            refusal(r#"{"name":"too long","items":[{"quantity":1},{"quantity":0}]}"#),
            invalid_at(&["/items/1/quantity", "/name"])
        );
        assert_eq!(refusal(r#"{"name":"a\u0000b"}"#), invalid_at(&["/name"]));
        assert_eq!(refusal(r#"{"name":"\\\u0000","\u0000":1}"#).1.len(), 2);
        assert_eq!(
            refusal(r#"{"name":"a","items":[{"quantity":1e400}]}"#),
            invalid_at(&["/items/0/quantity"])
        );
        assert_eq!(
            refusal(r#"{"name":{"a":1,"b":2,"a":3},"items":[],"items":[]}"#),
            invalid_at(&["/name/a", "/items"])
        );
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in [
            "",
            "{",
            "{\"name\":\"a\"} x",
            "{'name':1}",
            "{\"name\":\"\u{0}\"}",
        ] {
            assert_eq!(refusal(body).0, "bad-request", "{body}");
        }
        let deep = format!("{{\"name\":{}", "[".repeat(100_000));
        assert_ne!(refusal(&deep).0, "internal");
        assert!(parse::<Body>(b"{\"name\":\"\xff\"}").is_err());
    }

    #[test]
    fn messages_do_not_repeat_the_place() {
        let problem = parse::<Body>(br#"{"name":1}"#).unwrap_err();
        let detail = &problem.document(None).errors[0].detail;
        assert_eq!(detail, "invalid type: integer `1`, expected a string");
    }

    #[test]
    fn only_json_media_types_pass() {
        let is = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=utf-8"));
        assert!(is("application/merge-patch+json"));
        assert!(!is("text/json"));
        assert!(!is("application/x-ndjson"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
