//! Cross-origin requests (CORS): which pages may call from a browser.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::headers::{
    CORRELATION_ID, IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, MIN_POSITION, POSITION, PREFER,
    TIMEOUT_MS, TRACEPARENT,
};

/// The time for which a browser remembers a preflight's answer; no browser takes more than two hours.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(2 * 60 * 60);
const METHODS: [Method; 4] = [Method::GET, Method::HEAD, Method::POST, Method::PUT];
/// Request headers beyond those that pages may always send.
const REQUEST_HEADERS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    IDEMPOTENCY_KEY,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    PREFER,
    MIN_POSITION,
    CORRELATION_ID,
    TIMEOUT_MS,
    HeaderName::from_static("last-event-id"),
    TRACEPARENT,
    header::CACHE_CONTROL,
];
/// Response headers beyond those that pages may always read.
const EXPOSED_HEADERS: [HeaderName; 7] = [
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    IDEMPOTENT_REPLAYED,
    POSITION,
    CORRELATION_ID,
    header::LINK,
];

/// Pages that may call, by their origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsOrigins(Origins);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origins {
    /// Every page, but without credentials.
    Any,
    These(Arc<[HeaderValue]>),
}

/// A text that is no list of origins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an origin, as https://shop.example.org; several by comma, or * alone for every page"
)]
pub struct InvalidOrigin(String);

impl FromStr for CorsOrigins {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        if text.trim() == "*" {
            return Ok(CorsOrigins(Origins::Any));
        }
        let origins: Result<Vec<HeaderValue>, InvalidOrigin> =
            text.split(',').map(origin).collect();
        origins.map(|origins| CorsOrigins(Origins::These(origins.into())))
    }
}

/// Reads an origin and writes it as browsers do: in lower case, without the default port.
fn origin(text: &str) -> Result<HeaderValue, InvalidOrigin> {
    let text = text.trim();
    let invalid = || InvalidOrigin(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| invalid())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(invalid());
    };
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return Err(invalid()),
    };
    let is_bare = uri.path() == "/" && !text.ends_with('/') && !text.contains(['?', '#']);
    let host = authority.host().to_ascii_lowercase();
    let port = authority.port_u16();
    let with = |port: Option<u16>| match port {
        Some(port) => format!("{host}:{port}"),
        None => host.clone(),
    };
    // Nothing beside host and port: no user, no port beyond all ports.
    if !is_bare || host.is_empty() || !authority.as_str().eq_ignore_ascii_case(&with(port)) {
        return Err(invalid());
    }
    let port = port.filter(|port| *port != default_port);
    let origin = format!("{scheme}://{}", with(port));
    HeaderValue::from_str(&origin).map_err(|_| invalid())
}

impl CorsOrigins {
    /// Answers preflights, and says in every other answer which origin may read it.
    pub(super) fn layer(&self) -> CorsLayer {
        let layer = CorsLayer::new()
            .allow_methods(METHODS)
            .allow_headers(REQUEST_HEADERS)
            .expose_headers(EXPOSED_HEADERS)
            .max_age(PREFLIGHT_MAX_AGE);
        match &self.0 {
            Origins::Any => layer.allow_origin(AllowOrigin::any()),
            Origins::These(origins) => layer
                .allow_origin(AllowOrigin::list(origins.iter().cloned()))
                .allow_credentials(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        let read = |text: &str| match text.parse::<CorsOrigins>() {
            Ok(CorsOrigins(Origins::These(origins))) => origins
                .iter()
                .map(|origin| origin.to_str().unwrap().to_owned())
                .collect(),
            other => panic!("{text}: {other:?}"),
        };
        let origins: Vec<String> =
            read("https://Shop.Example.org:443, http://localhost:3000,http://[::1]:80");
        let expected = [
            "https://shop.example.org",
            "http://localhost:3000",
            "http://[::1]",
        ];
        assert_eq!(origins, expected);
        assert_eq!(" * ".parse(), Ok(CorsOrigins(Origins::Any)));
        for wrong in [
            "",
            "shop.example.org",
            "https://",
            "ftp://shop.example.org",
            "https://shop.example.org/",
            "https://shop.example.org/a",
            "https://shop.example.org?a",
            "https://shop.example.org#a",
            "https://a@shop.example.org",
            "https://shop.example.org:99999",
            "https://shop.example.org,",
            "https://shop.example.org, *",
            "null",
        ] {
            let error = wrong.parse::<CorsOrigins>().unwrap_err().to_string();
            assert!(error.contains("is not an origin"), "{wrong}: {error}");
        }
    }
}
