//! Verification of bearer tokens.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::fetched::FetchedKeys;
use super::{AUDIENCE, Claims, ISSUER, PublicKey, TOKEN_TYPE};
use crate::auth::Caller;

/// By how much the clocks of two machines may differ.
const LEEWAY: Duration = Duration::from_secs(5);
/// Bytes of a token; ours have some 400. Longer ones are not worth a look.
pub(super) const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Why a token is refused: for the log, not for the client.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("the token is not an access token")]
    NotAnAccessToken,
    #[error("the token's key is not known")]
    UnknownKey,
    /// The token may be right: nobody can tell.
    #[error("no keys were fetched yet")]
    NoKeys,
    #[error(transparent)]
    Invalid(#[from] jsonwebtoken::errors::Error),
}

/// Checks tokens against a list of keys; what a token says about its own key is ignored but for
/// the `kid`.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: Keys,
    validation: Arc<Validation>,
    source: Option<FetchedKeys>,
}

/// Keys by name; none before they were fetched for the first time.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(Arc<RwLock<Option<HashMap<String, DecodingKey>>>>);

impl Keys {
    pub(super) fn replace(&self, keys: impl IntoIterator<Item = PublicKey>) {
        let keys = keys
            .into_iter()
            .map(|key| (key.kid, DecodingKey::from_ed_der(&key.bytes)))
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
    }

    pub(super) fn were_ever_there(&self) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.is_some()
    }

    fn get(&self, kid: &str) -> Result<DecodingKey, TokenError> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let keys = keys.as_ref().ok_or(TokenError::NoKeys)?;
        keys.get(kid).cloned().ok_or(TokenError::UnknownKey)
    }
}

impl Verifier {
    /// Accepts tokens signed with one of these keys.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        let verifier = Self::without_keys();
        verifier.replace_keys(keys);
        verifier
    }

    /// Accepts tokens signed with one of the keys that `fetch` answers with. It is asked when a token needs it, see
    /// [`FetchedKeys`]; an error is a line for the log.
    #[must_use]
    pub fn fetched<F, A>(fetch: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Vec<PublicKey>, String>> + Send + 'static,
    {
        Self::with_source(FetchedKeys::new(fetch))
    }

    pub(super) fn with_source(source: FetchedKeys) -> Self {
        Verifier {
            source: Some(source),
            ..Self::without_keys()
        }
    }

    fn without_keys() -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // Otherwise a token without them would pass.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Verifier {
            keys: Keys::default(),
            validation: Arc::new(validation),
            source: None,
        }
    }

    /// Accepts these keys from now on, and no other.
    pub fn replace_keys(&self, keys: impl IntoIterator<Item = PublicKey>) {
        self.keys.replace(keys);
    }

    /// Whether a token with this `kid` could be accepted; if not, a fetched key set may be old.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.keys.get(kid).is_ok()
    }

    /// Verifies as [`Verifier::verify`] does, and fetches keys where those at hand do not suffice.
    ///
    /// # Errors
    /// As [`Verifier::verify`].
    pub async fn verify_fetching(&self, token: &str) -> Result<Caller, TokenError> {
        match (self.verify(token), &self.source) {
            (Err(TokenError::UnknownKey | TokenError::NoKeys), Some(source)) => {
                source.refresh(&self.keys).await;
                self.verify(token)
            }
            (judged, _) => judged,
        }
    }

    /// The time after which to come back with a token that could not be judged.
    pub(crate) fn retry_after(&self) -> Duration {
        let source = self.source.as_ref();
        source.map_or(Duration::ZERO, |source| source.next_in(&self.keys))
    }

    /// Who the token speaks for, by the keys at hand.
    ///
    /// # Errors
    /// [`TokenError`]: signature, key, form or time does not hold.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token)?;
        let is_access_token = header
            .typ
            .as_deref()
            .is_some_and(|typ| typ.eq_ignore_ascii_case(TOKEN_TYPE));
        if !is_access_token || header.crit.is_some() {
            return Err(TokenError::NotAnAccessToken);
        }
        let kid = header.kid.ok_or(TokenError::NotAnAccessToken)?;
        let key = self.keys.get(&kid)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation)?.claims;
        Ok(Caller {
            user_id: claims.sub,
            role: claims.role,
        })
    }
}
