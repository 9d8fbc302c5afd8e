//! The success of a query: its body, the position it stands for, and the version of what it shows.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_server::headers::POSITION;
use http_server::{Json, PositionToken};
use serde::Serialize;

/// A body with `Nakku-Position` and, of a single resource, `ETag`.
pub(crate) struct Answer<T> {
    position: i64,
    version: Option<i64>,
    /// `None`: the client has it already, 304.
    body: Option<T>,
}

impl<T> Answer<T> {
    pub(crate) fn new(position: i64, body: T) -> Self {
        Answer {
            position,
            version: None,
            body: Some(body),
        }
    }

    /// Of a resource that shows more than its version tells of: a client cannot know it already.
    pub(crate) fn tagged(position: i64, version: i64, body: T) -> Self {
        Answer {
            position,
            version: Some(version),
            body: Some(body),
        }
    }

    /// Of a single resource: left out where the client knows this version.
    pub(crate) fn versioned(position: i64, version: i64, body: T, known: &IfNoneMatch) -> Self {
        let body = (!known.names(version)).then_some(body);
        Answer {
            position,
            version: Some(version),
            body,
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => Json(body).into_response(),
            None => StatusCode::NOT_MODIFIED.into_response(),
        };
        let headers = response.headers_mut();
        headers.insert(POSITION, PositionToken::main(self.position).header_value());
        if let Some(version) = self.version {
            let etag = HeaderValue::from_str(&etag(version));
            headers.insert(header::ETAG, etag.expect("a quoted number is printable"));
        }
        response
    }
}

/// `If-None-Match`: versions that the client has. What cannot be read matches nothing.
pub(crate) struct IfNoneMatch(Vec<String>);

impl IfNoneMatch {
    fn names(&self, version: i64) -> bool {
        let etag = etag(version);
        let is_this = |tag: &String| *tag == etag || tag == "*";
        self.0.iter().any(is_this)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let tags = parts
            .headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            // The comparison is the weak one, as RFC 9110 asks here.
            .map(|tag| tag.trim().trim_start_matches("W/").to_owned())
            .collect();
        Ok(IfNoneMatch(tags))
    }
}

fn etag(version: i64) -> String {
    format!("\"{version}\"")
}
