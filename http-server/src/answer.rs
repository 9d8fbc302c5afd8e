//! The success of a command.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::headers::{IDEMPOTENT_REPLAYED, POSITION, PREFERENCE_APPLIED};
use crate::position::{MAIN_LOG, PositionToken};
use crate::problem::Problem;

/// Members that every command answers with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CommandAnswer)]
pub struct CommandBody {
    /// Id of what the command acted on.
    pub id: String,
    /// Its version now; the `ETag`, and what `If-Match` takes.
    pub version: i64,
    /// Position of the effect; `Nakku-Min-Position` of queries that must see it.
    pub position: i64,
}

/// The answer of a command that took effect: 201 with `Location` where something began, else 200.
#[derive(Debug, Clone)]
pub struct CommandAnswer {
    body: CommandBody,
    log: String,
    location: Option<String>,
    replayed: bool,
    waited: Option<Duration>,
    more: Map<String, Value>,
}

impl CommandAnswer {
    /// On the log `main`.
    #[must_use]
    pub fn new(id: impl Into<String>, version: i64, position: i64) -> Self {
        CommandAnswer {
            body: CommandBody {
                id: id.into(),
                version,
                position,
            },
            log: MAIN_LOG.to_owned(),
            location: None,
            replayed: false,
            waited: None,
            more: Map::new(),
        }
    }

    /// The position counts on this log.
    #[must_use]
    pub fn log(mut self, log: impl Into<String>) -> Self {
        self.log = log.into();
        self
    }

    /// Something began that can be read at `location` from now on.
    #[must_use]
    pub fn created(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Whether it is the answer of an earlier request with the same `Idempotency-Key`.
    #[must_use]
    pub fn replayed(mut self, replayed: bool) -> Self {
        self.replayed = replayed;
        self
    }

    /// The answer was held back for at most this long, as `Prefer: wait` asked.
    #[must_use]
    pub fn waited(mut self, at_most: Duration) -> Self {
        self.waited = Some(at_most);
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    common: &'a CommandBody,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl IntoResponse for CommandAnswer {
    fn into_response(self) -> Response {
        let CommandAnswer {
            body,
            log,
            location,
            replayed,
            waited,
            more,
        } = self;
        let mut response = axum::Json(Body {
            common: &body,
            more: &more,
        })
        .into_response();
        if let Some(location) = location {
            let Ok(location) = HeaderValue::from_str(&location) else {
                return Problem::internal(format!("location {location:?} is no header value"))
                    .into_response();
            };
            *response.status_mut() = StatusCode::CREATED;
            response.headers_mut().insert(header::LOCATION, location);
        }
        let etag = HeaderValue::from_str(&format!("\"{}\"", body.version));
        let position = PositionToken {
            log,
            position: body.position,
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, etag.expect("a quoted number is printable"));
        headers.insert(POSITION, position.header_value());
        if replayed {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        if let Some(waited) = waited {
            let applied = HeaderValue::from_str(&format!("wait={}", waited.as_secs()));
            headers.insert(PREFERENCE_APPLIED, applied.expect("a number is printable"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_created_thing_has_location_version_and_position() {
        let answer = CommandAnswer::new("p1", 1, 4711)
            .created("/api/v1/products/p1")
            .with("status", "active")
            .replayed(true);
        let response = answer.into_response();
        assert_eq!(response.status(), StatusCode::CREATED);
        let headers = response.headers().clone();
        assert_eq!(headers["location"], "/api/v1/products/p1");
        assert_eq!(headers["etag"], "\"1\"");
        assert_eq!(headers["nakku-position"], "4711");
        assert_eq!(headers["idempotent-replayed"], "true");
        let body = axum::body::to_bytes(response.into_body(), 1024)
            .await
            .unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected =
            serde_json::json!({"id": "p1", "version": 1, "position": 4711, "status": "active"});
        assert_eq!(body, expected);
    }

    #[test]
    fn a_change_answers_200_without_replay_header() {
        let response = CommandAnswer::new("p1", 2, 9).log("orders").into_response();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["nakku-position"], "orders:9");
        assert!(!response.headers().contains_key("idempotent-replayed"));
        assert!(!response.headers().contains_key("preference-applied"));
    }

    #[test]
    fn a_preference_that_was_honoured_is_told() {
        let answer = CommandAnswer::new("p1", 2, 9).waited(Duration::from_secs(10));
        let response = answer.into_response();
        assert_eq!(response.headers()["preference-applied"], "wait=10");
    }
}
