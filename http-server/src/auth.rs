//! Who asks: roles, callers, services, and the extractors by which a handler demands them.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::arrival::Arrival;
use crate::problem::Problem;
use crate::service_token::Sender;

/// What a user may do; each role may also do what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Customer,
    Courier,
    Staff,
    Admin,
}

impl Role {
    /// Whether this role may do what `needed` may.
    #[must_use]
    pub fn may(self, needed: Role) -> bool {
        self >= needed
    }

    /// As in tokens and bodies.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Customer => "customer",
            Role::Courier => "courier",
            Role::Staff => "staff",
            Role::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: customer, courier, staff or admin")]
pub struct UnknownRole(String);

impl std::str::FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        [Role::Customer, Role::Courier, Role::Staff, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// An authenticated user. As an extractor: 401 without a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's `sub`.
    pub user_id: String,
    pub role: Role,
}

impl Caller {
    /// # Errors
    /// `forbidden` if the caller's role may not do what `needed` may.
    pub fn require(&self, needed: Role) -> Result<(), Problem> {
        if self.role.may(needed) {
            return Ok(());
        }
        Err(Problem::forbidden(format!(
            "this needs role {needed}, the caller has {}",
            self.role
        )))
    }
}

/// A caller where there is one; 401 for a token that was sent but is not valid, because a client
/// that believes to be known must not silently be treated as a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalCaller(pub Option<Caller>);

/// A caller who may do what a courier may; else 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Courier(pub Caller);

/// A caller who may do what staff may; else 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staff(pub Caller);

/// An administrator; else 403.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin(pub Caller);

/// Another of our services. 401 for everybody else, and where no token of services is set for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service;

/// What the edge made of the `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Authentication {
    Anonymous,
    Known(Caller),
    /// Why, in words for the client.
    Refused(&'static str),
    /// The keys that would tell could not be fetched; until when it is not worth to ask again.
    NotJudged(Duration),
}

impl Authentication {
    pub(crate) fn optional(&self) -> Result<Option<Caller>, Problem> {
        match self {
            Authentication::Anonymous => Ok(None),
            Authentication::Known(caller) => Ok(Some(caller.clone())),
            Authentication::Refused(why) => Err(Problem::invalid_token(*why)),
            Authentication::NotJudged(wait) => Err(Problem::service_unreachable(
                "the keys that bearer tokens are verified by cannot be fetched now",
            )
            .retry_after(*wait)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OptionalCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Arrival::of(&parts.extensions)?.caller().map(OptionalCaller)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let OptionalCaller(caller) = OptionalCaller::from_request_parts(parts, state).await?;
        caller.ok_or_else(|| Problem::unauthenticated("this needs a bearer token"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Service {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Arrival::of(&parts.extensions)?.sender {
            Sender::Service => Ok(Service),
            Sender::Impostor => Err(Problem::invalid_token("the token is not a service's")),
            Sender::Client => Err(Problem::unauthenticated("this needs the token of services")),
        }
    }
}

macro_rules! role_guards {
    ($($guard:ident)*) => {$(
        impl<S: Send + Sync> FromRequestParts<S> for $guard {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let caller = Caller::from_request_parts(parts, state).await?;
                caller.require(Role::$guard)?;
                Ok($guard(caller))
            }
        }
    )*};
}

role_guards! { Courier Staff Admin }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_those_below_may() {
        let roles = [Role::Customer, Role::Courier, Role::Staff, Role::Admin];
        for (i, role) in roles.into_iter().enumerate() {
            for (j, needed) in roles.into_iter().enumerate() {
                assert_eq!(role.may(needed), i >= j, "{role} as {needed}");
            }
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        assert!("root".parse::<Role>().is_err());
    }
}
