//! Headers that end at the door, and headers that begin there.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use http_server::Arrival;
use http_server::headers::{
    CORRELATION_ID, FORWARDED, HOPS, SERVICE_TOKEN, TIMEOUT_MS, TRACEPARENT, X_FORWARDED_FOR,
};

/// Of one connection only (RFC 9110, 7.6.1), with those that older peers still send.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// About the hop before this one, or this one's to say.
const ENDING_AT_THE_DOOR: [HeaderName; 9] = [
    header::HOST,
    // Was answered by this server already.
    header::EXPECT,
    FORWARDED,
    X_FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    SERVICE_TOKEN,
    HOPS,
    TIMEOUT_MS,
];

/// Removes what belongs to one connection, what `Connection` names included.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The headers of a request as another process of ours gets them.
pub(crate) fn pass_on(headers: &mut HeaderMap, arrival: &Arrival) {
    strip_hop_by_hop(headers);
    for name in &ENDING_AT_THE_DOOR {
        headers.remove(name);
    }
    if let Some(client) = arrival.client_address() {
        set(headers, X_FORWARDED_FOR, &client.to_string());
        set(headers, FORWARDED, &forwarded(client));
    }
    set(headers, TRACEPARENT, &arrival.trace().traceparent());
    let correlation_id = arrival.correlation_id().to_string();
    set(headers, CORRELATION_ID, &correlation_id);
}

/// RFC 7239.
fn forwarded(client: IpAddr) -> String {
    match client {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Trailers say nothing that any service asks for, and what they would change was decided on the head.
pub(crate) fn without_trailers(body: Body) -> http_client::Body {
    if axum::body::HttpBody::size_hint(&body).exact() == Some(0) {
        return http_client::body::empty();
    }
    let data = http_body_util::StreamBody::new(futures::StreamExt::map(
        body.into_data_stream(),
        |piece| piece.map(http_body::Frame::data),
    ));
    http_client::body::stream(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_connection_keeps_its_headers_and_those_that_it_names() {
        let mut kept = headers(&[
            ("connection", "close, X-Secret"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("trailer", "x-checksum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("accept", "*/*"),
            ("cookie", "a=b"),
        ]);
        strip_hop_by_hop(&mut kept);
        assert_eq!(kept, headers(&[("accept", "*/*"), ("cookie", "a=b")]));
    }

    #[test]
    fn an_address_reads_as_rfc_7239_asks() {
        assert_eq!(forwarded("192.0.2.1".parse().unwrap()), "for=192.0.2.1");
        let v6 = "2001:db8::1".parse().unwrap();
        assert_eq!(forwarded(v6), "for=\"[2001:db8::1]\"");
    }
}
