//! How services know each other.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use http_server::{Problem, headers};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::CommandApi;

/// The token that other services come with, as its digest: it cannot be shown, and comparing tells nothing about it.
#[derive(Clone)]
pub(crate) struct ServiceToken(Arc<[u8; 32]>);

impl ServiceToken {
    pub(crate) fn new(token: &str) -> Self {
        Self(Arc::new(Sha256::digest(token.as_bytes()).into()))
    }

    fn is(&self, presented: &str) -> bool {
        let presented: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        self.0.as_slice().ct_eq(&presented).into()
    }
}

impl fmt::Debug for ServiceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceToken(…)")
    }
}

/// Another service. 401 for everybody else, and where no token is set for everybody.
pub(crate) struct Service;

impl<S> FromRequestParts<S> for Service
where
    S: Send + Sync,
    CommandApi: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let presented = headers::single(&parts.headers, &header::AUTHORIZATION)?
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let api = CommandApi::from_ref(state);
        match (&api.service_token, presented) {
            (Some(token), Some(presented)) if token.is(presented) => Ok(Service),
            (_, Some(_)) => Err(Problem::invalid_token("the token is not a service's")),
            (_, None) => Err(Problem::unauthenticated("this needs the token of services")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_only_and_is_not_shown() {
        let token = ServiceToken::new("a secret of services");
        assert!(token.is("a secret of services"));
        for other in [
            "",
            "a secret",
            "a secret of services ",
            "A secret of services",
        ] {
            assert!(!token.is(other), "{other}");
        }
        assert_eq!(format!("{token:?}"), "ServiceToken(…)");
    }
}
