//! The keys that tokens are verified by, fetched from whoever signs them.

use std::time::Duration;

use axum::http::Request;
use http_client::{CallOptions, Retry, Upstream, body};
use http_server::token::{Jwks, PublicKey};

/// Where the user service publishes them.
const PATH: &str = "/.well-known/jwks.json";
/// A client with a fresh token waits for it.
const DEADLINE: Duration = Duration::from_secs(2);
/// Leaves time for a second attempt.
const ATTEMPT: Duration = Duration::from_secs(1);
/// A key set is a few hundred bytes.
const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// The public keys of the user service, as of now.
///
/// # Errors
/// A line for the log: it does not answer, or not with a key set.
pub async fn fetch(users: &Upstream) -> Result<Vec<PublicKey>, String> {
    let request = Request::get(PATH)
        .body(body::empty())
        .map_err(|error| error.to_string())?;
    let options = CallOptions {
        retry: Retry::Safe,
        deadline: DEADLINE,
        attempt: ATTEMPT,
        is_shortened: false,
        idle: None,
        hops: 0,
    };
    let response = users
        .call(request, options)
        .await
        .map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("it answered {}", response.status()));
    }
    let document = http_client::read_capped(response.into_body(), DOCUMENT_BYTES_MAX)
        .await
        .map_err(|error| error.to_string())?;
    Jwks::parse(&String::from_utf8_lossy(&document)).map_err(|error| error.to_string())
}
