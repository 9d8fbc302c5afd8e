//! The client's address behind proxies, from `Forwarded` (RFC 7239) or `X-Forwarded-For`. Everybody can write these headers, so
//! only the words of trusted peers count.

mod elements;

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use ipnet::IpNet;

use crate::headers::{FORWARDED, X_FORWARDED_FOR};

/// Proxies whose word counts, as addresses and networks. By default none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Arc<[IpNet]>);

/// A text that is no list of proxies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or a network, as 192.0.2.1 or 10.0.0.0/8")]
pub struct InvalidProxy(String);

impl FromStr for TrustedProxies {
    type Err = InvalidProxy;

    /// Reads a list by comma; blank text is an empty list.
    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let networks: Result<Vec<IpNet>, InvalidProxy> = text.split(',').map(network).collect();
        networks.map(|networks| Self(networks.into()))
    }
}

fn network(text: &str) -> Result<IpNet, InvalidProxy> {
    let text = text.trim();
    let address = text
        .parse()
        .map(|address: IpAddr| address.to_canonical().into());
    address
        .or_else(|_| text.parse())
        .map_err(|_| InvalidProxy(text.to_owned()))
}

impl TrustedProxies {
    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address at which the request began: of a stranger the peer's, of a trusted proxy that of the nearest hop that is
    /// not a proxy itself, of a service the nearest that it names. None without a peer: a test called the router in process.
    pub(crate) fn client_of(&self, request: &Request, is_from_service: bool) -> Option<IpAddr> {
        let ConnectInfo(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
        let peer = peer.ip().to_canonical();
        if is_from_service {
            let nearest = named(request.headers()).pop().flatten();
            return Some(nearest.unwrap_or(peer));
        }
        if !self.include(peer) {
            return Some(peer);
        }
        let mut client = peer;
        for hop in named(request.headers()).into_iter().rev() {
            // Beyond what cannot be read, or was added by a stranger, everything may be invented.
            let Some(address) = hop else { break };
            client = address;
            if !self.include(address) {
                break;
            }
        }
        Some(client)
    }
}

/// The hops, the nearest last; none for one that cannot be read. `Forwarded` says more, and wins.
fn named(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    if headers.contains_key(FORWARDED) {
        elements::of(headers, &FORWARDED, elements::forwarded)
    } else {
        elements::of(headers, &X_FORWARDED_FOR, elements::x_forwarded_for)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const STRANGER: &str = "198.51.100.9";

    fn request(peer: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        for (name, value) in headers {
            let name: axum::http::HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 4711);
        request.extensions_mut().insert(ConnectInfo(peer));
        request
    }

    fn client(peer: &str, is_from_service: bool, headers: &[(&str, &str)]) -> String {
        let proxies: TrustedProxies = "10.0.0.0/8, 192.0.2.7,2001:db8:1::/48".parse().unwrap();
        let client = proxies.client_of(&request(peer, headers), is_from_service);
        client.unwrap().to_string()
    }

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        let forwarded = |value| [("forwarded", value)];
        let x_forwarded_for = |value| [("x-forwarded-for", value)];
        assert_eq!(client(STRANGER, false, &forwarded("for=1.1.1.1")), STRANGER);
        assert_eq!(
            client(STRANGER, false, &x_forwarded_for("1.1.1.1")),
            STRANGER
        );
        assert_eq!(client(PROXY, false, &[]), PROXY);
        // A socket of both families has peers as these.
        let mapped = "::ffff:10.0.0.1";
        assert_eq!(
            client(mapped, false, &x_forwarded_for("1.1.1.1")),
            "1.1.1.1"
        );
        for (value, expected) in [
            ("1.1.1.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("6.6.6.6, 1.1.1.1, 10.9.9.9", "1.1.1.1"),
            ("6.6.6.6,1.1.1.1 , 192.0.2.7,10.9.9.9", "1.1.1.1"),
            ("10.2.2.2, 10.3.3.3", "10.2.2.2"),
            ("6.6.6.6, unknown", PROXY),
            ("6.6.6.6, 1.1.1, 10.9.9.9", "10.9.9.9"),
            ("6.6.6.6, ::ffff:10.9.9.9", "6.6.6.6"),
            ("1.1.1.1:4711", "1.1.1.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("2001:db8::1, 2001:db8:1::5", "2001:db8::1"),
            ("", PROXY),
        ] {
            assert_eq!(
                client(PROXY, false, &x_forwarded_for(value)),
                expected,
                "{value}"
            );
        }
        for (value, expected) in [
            ("for=1.1.1.1", "1.1.1.1"),
            (
                "for=6.6.6.6, for=1.1.1.1;proto=https, For=10.9.9.9",
                "1.1.1.1",
            ),
            ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=6.6.6.6, for=_hidden", PROXY),
            ("for=6.6.6.6, for=unknown, for=10.9.9.9", "10.9.9.9"),
            ("for=6.6.6.6, proto=https", PROXY),
            // A client that opens a quote does not get to say who it is.
            ("for=6.6.6.6;by=\", for=1.1.1.1", PROXY),
            ("for=6.6.6.6;by=\", for=\"[2001:db8::1]\"", PROXY),
        ] {
            assert_eq!(client(PROXY, false, &forwarded(value)), expected, "{value}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_the_standard_wins() {
        let lines = [
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "1.1.1.1, 10.9.9.9"),
        ];
        assert_eq!(client(PROXY, false, &lines), "1.1.1.1");
        let lines = [
            ("forwarded", "for=6.6.6.6;by=\""),
            ("forwarded", "for=1.1.1.1"),
        ];
        assert_eq!(client(PROXY, false, &lines), "1.1.1.1");
        let both = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=1.1.1.1")];
        assert_eq!(client(PROXY, false, &both), "1.1.1.1");
        let both = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=unknown")];
        assert_eq!(client(PROXY, false, &both), PROXY);
    }

    #[test]
    fn a_service_is_believed_to_the_letter() {
        let headers = [("x-forwarded-for", "6.6.6.6, 10.9.9.9")];
        assert_eq!(client(STRANGER, true, &headers), "10.9.9.9");
        let headers = [("forwarded", "for=\"[2001:db8::1]\"")];
        assert_eq!(client(STRANGER, true, &headers), "2001:db8::1");
        assert_eq!(client(STRANGER, true, &[]), STRANGER);
        let headers = [("forwarded", "for=6.6.6.6, for=unknown")];
        assert_eq!(client(STRANGER, true, &headers), STRANGER);
    }

    #[test]
    fn a_list_of_proxies_is_addresses_and_networks() {
        for fine in ["", " ", "::1", "10.0.0.0/8,::/0", "192.0.2.1 , 10.0.0.7"] {
            assert!(fine.parse::<TrustedProxies>().is_ok(), "{fine:?}");
        }
        for wrong in [
            "localhost",
            "10.0.0.0/33",
            "10.0.0.1:80",
            "10.0.0.1,,10.0.0.2",
            "*",
        ] {
            let error = wrong.parse::<TrustedProxies>().unwrap_err();
            assert!(error.to_string().contains("is not an address"), "{error}");
        }
    }
}
