//! `/`: what this is and where to go, as a page for a browser and as JSON for everybody else.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::json;

const PAGE: &str = include_str!("landing.html");
/// The page loads nothing and runs nothing.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
);

pub(crate) async fn landing(headers: HeaderMap) -> Response {
    let mut response = if wants_html(&headers) {
        let page = PAGE.replace("{version}", env!("CARGO_PKG_VERSION"));
        ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
    } else {
        Json(json!({
            "name": "nakku",
            "version": env!("CARGO_PKG_VERSION"),
            "api": "/api/v1",
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "health": "/health/ready",
            "metrics": "/metrics",
        }))
        .into_response()
    };
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().insert(header::VARY, vary);
    response
}

/// A browser names `text/html`; a program that takes anything gets JSON.
fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|media_type| media_type.trim().eq_ignore_ascii_case("text/html"))
}
