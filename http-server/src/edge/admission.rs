//! Checks of a request before anything is done for it.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use uuid::Uuid;

use crate::auth::Authentication;
use crate::headers::{self, CORRELATION_ID, HOPS};
use crate::problem::{Kind, Problem};
use crate::service_token::Sender;
use crate::token::{TokenError, Verifier};
use crate::trace::Trace;

/// Bodies of unknown length are counted while they are read; this answers the rest before a
/// byte of them was taken, also on routes that read no body.
pub(super) fn check_announced_size(headers: &HeaderMap, limit: usize) -> Result<(), Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        return Err(Problem::from(Kind::PAYLOAD_TOO_LARGE)
            .detail(format!("the body may have at most {limit} bytes")));
    }
    Ok(())
}

/// Given as a UUID, else the trace's id.
pub(super) fn correlation_id(headers: &HeaderMap, trace: Trace) -> Result<Uuid, Problem> {
    headers::single(headers, &CORRELATION_ID)?.map_or(Ok(trace.as_uuid()), |text| {
        Uuid::try_parse(text)
            .map_err(|_| Problem::bad_request(format!("header {CORRELATION_ID} is not a UUID")))
    })
}

/// The number of our services that the request came through; only a service is believed.
pub(super) fn hops(headers: &HeaderMap, sender: Sender) -> Result<u32, Problem> {
    if sender != Sender::Service {
        return Ok(0);
    }
    headers::single(headers, &HOPS)?.map_or(Ok(0), |text| {
        text.parse()
            .map_err(|_| Problem::bad_request(format!("header {HOPS} is not a number")))
    })
}

/// The methods that routes have, for whoever asks for a tunnel.
const KNOWN_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT");

/// What RFC 9110 and RFC 9112 ask of any request, beyond what hyper has looked at. What two readers could take for two
/// different things is refused: the next one may be the other reader.
pub(super) fn check_framing(request: &Request) -> Result<(), Problem> {
    // Also where a route takes any method: a success would be a tunnel.
    if *request.method() == Method::CONNECT {
        return Err(Problem::from(Kind::METHOD_NOT_ALLOWED)
            .detail("there is no tunnel here")
            .header(header::ALLOW, KNOWN_METHODS));
    }
    let is_about_the_server = *request.method() == Method::OPTIONS && request.uri().path() == "*";
    if !request.uri().path().starts_with('/') && !is_about_the_server {
        return Err(Problem::bad_request("the request's target is not a path"));
    }
    let encodings = request.headers().get_all(header::TRANSFER_ENCODING);
    let mut encodings = encodings.iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !encodings.next().is_none_or(is_chunked) || encodings.next().is_some() {
        return Err(Problem::bad_request(
            "header transfer-encoding may be chunked, once, and nothing else",
        ));
    }
    check_host(request)
}

/// Without exactly one `Host`, HTTP/1.1 is not understood. Without a peer the router was called in process, by a test.
fn check_host(request: &Request) -> Result<(), Problem> {
    let is_over_tcp = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .is_some();
    match headers::single(request.headers(), &header::HOST)? {
        Some(host) if is_host(host) => Ok(()),
        Some(_) => Err(Problem::bad_request(
            "header host is not a host, as shop.example.org:8080",
        )),
        None if is_over_tcp && request.version() == Version::HTTP_11 => {
            Err(Problem::bad_request("header host is missing"))
        }
        None => Ok(()),
    }
}

/// A name or an address, and maybe a port; nothing else of an address.
fn is_host(text: &str) -> bool {
    let has_odd_port = match text.rsplit_once(':') {
        // The colons of an IPv6 address end with its bracket.
        Some((_, port)) if !port.ends_with(']') => !port.is_empty() && port.parse::<u16>().is_err(),
        _ => false,
    };
    text.is_empty() || (!has_odd_port && !text.contains('@') && text.parse::<Authority>().is_ok())
}

/// PostgreSQL's text cannot hold U+0000, so no path or query may smuggle one in.
pub(super) fn reject_nul(uri: &Uri) -> Result<(), Problem> {
    let has_nul = |text: &str| text.contains("%00");
    if has_nul(uri.path()) || uri.query().is_some_and(has_nul) {
        return Err(Problem::bad_request("the address contains U+0000"));
    }
    Ok(())
}

/// Reads and verifies the bearer token.
pub(super) async fn authenticate(
    headers: &HeaderMap,
    verifier: Option<&Verifier>,
) -> Authentication {
    let token = match headers::single(headers, &header::AUTHORIZATION) {
        Ok(None) => return Authentication::Anonymous,
        Ok(Some(value)) => bearer(value),
        Err(_) => None,
    };
    match (token, verifier) {
        (None, _) => Authentication::Refused("the Authorization header is not a bearer token"),
        (Some(_), None) => Authentication::Refused("bearer tokens are not accepted here"),
        (Some(token), Some(verifier)) => match verifier.verify_fetching(token).await {
            Ok(caller) => Authentication::Known(caller),
            Err(TokenError::NoKeys) => Authentication::NotJudged(verifier.retry_after()),
            Err(error) => {
                tracing::debug!(%error, "bearer token refused");
                Authentication::Refused("the bearer token is not valid or has expired")
            }
        },
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port_or_without() {
        for host in [
            "",
            "x",
            "x:",
            "x:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "a-b.example.org",
        ] {
            assert!(is_host(host), "{host}");
        }
        for wrong in [
            "x y", "x/y", "u@x", "x, y", "http://x", "x:port", "x:99999", "[::1", "x:1:2", "x?y",
        ] {
            assert!(!is_host(wrong), "{wrong}");
        }
    }
}
