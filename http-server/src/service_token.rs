//! The token by which services know each other.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::headers::SERVICE_TOKEN;

/// The token that all services of an installation share, as its digest: it cannot be shown, and comparing tells nothing
/// about it.
#[derive(Clone)]
pub struct ServiceToken(Arc<[u8; 32]>);

impl ServiceToken {
    /// The token that a service sends as this text.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Arc::new(Sha256::digest(token.as_bytes()).into()))
    }

    fn is(&self, presented: &[u8]) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented).into();
        self.0.as_slice().ct_eq(&presented).into()
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken(…)")
    }
}

/// The sender of a request, by its `Nakku-Service-Token` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    /// Without a token.
    Client,
    /// With the right one.
    Service,
    /// With another one, or with several.
    Impostor,
}

impl Sender {
    /// Removes the header, so that nothing further inwards sees a token or hands it on. Where no token is set, none is right.
    pub(crate) fn take(headers: &mut HeaderMap, token: Option<&ServiceToken>) -> Self {
        let mut presented = headers.get_all(SERVICE_TOKEN).iter();
        let sender = match (presented.next(), presented.next()) {
            (None, _) => return Sender::Client,
            (Some(value), None) if token.is_some_and(|token| token.is(value.as_bytes())) => {
                Sender::Service
            }
            (Some(_), _) => Sender::Impostor,
        };
        headers.remove(SERVICE_TOKEN);
        sender
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_only_and_is_not_shown() {
        let token = ServiceToken::new("a secret of services");
        assert!(token.is(b"a secret of services"));
        for other in [
            "",
            "a secret",
            "a secret of services ",
            "A secret of services",
        ] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "ServiceToken(…)");
    }

    #[test]
    fn the_header_is_gone_whoever_sent_it() {
        let ours = ServiceToken::new("right");
        for (sent, token, expected) in [
            (&[][..], Some(&ours), Sender::Client),
            (&["right"], Some(&ours), Sender::Service),
            (&["wrong"], Some(&ours), Sender::Impostor),
            (&["right", "right"], Some(&ours), Sender::Impostor),
            (&["right"], None, Sender::Impostor),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(SERVICE_TOKEN, value.parse().unwrap());
            }
            assert_eq!(Sender::take(&mut headers, token), expected, "{sent:?}");
            assert!(headers.is_empty(), "{sent:?}");
        }
    }
}
