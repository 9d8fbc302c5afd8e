//! The form of bearer tokens: JWT, EdDSA over Ed25519, signed by one role and verified by all.

mod fetched;
mod jwks;
mod verifier;

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use fetched::FetchedKeys;
pub use jwks::Jwks;
pub use verifier::{TokenError, Verifier};

use crate::auth::Role;

/// How long an access token is good for: as long as a changed role may take to be in force.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);
/// `iss` of every token.
pub const ISSUER: &str = "nakku";
/// `aud` of every token.
pub const AUDIENCE: &str = "nakku-api";
/// `typ` of an access token (RFC 9068): no other kind of JWT passes for one.
const TOKEN_TYPE: &str = "at+jwt";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id.
    pub sub: String,
    pub role: Role,
    pub iss: String,
    pub aud: String,
    /// Seconds since 1970.
    pub exp: i64,
    /// Seconds since 1970.
    pub iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
}

/// The public half of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The name that a token's header refers to.
    pub kid: String,
    /// Ed25519.
    pub bytes: [u8; 32],
}

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("key `{0}` is not an Ed25519 private key in PKCS#8 form")]
    NotEd25519(String),
    #[error("the key set is not a JWKS document: {0}")]
    NotJwks(String),
}

/// Makes a new Ed25519 private key: PKCS#8, DER.
#[must_use]
pub fn generate_key() -> Vec<u8> {
    Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .expect("the system's random source works")
        .as_ref()
        .to_vec()
}

/// Signs tokens with one key. Its private half is never shown.
#[derive(Debug, Clone)]
pub struct Signer {
    key: EncodingKey,
    header: Header,
    public: PublicKey,
}

impl Signer {
    /// `pkcs8`: an Ed25519 private key in PKCS#8 DER.
    ///
    /// # Errors
    /// [`KeyError::NotEd25519`].
    pub fn new(kid: impl Into<String>, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let kid = kid.into();
        let refused = || KeyError::NotEd25519(kid.clone());
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| refused())?;
        let bytes = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| refused())?;
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(kid.clone());
        Ok(Signer {
            key: EncodingKey::from_ed_der(pkcs8),
            header,
            public: PublicKey { kid, bytes },
        })
    }

    /// The half that verifiers need.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// A token for `user_id`, good for `lifetime` (usually [`TOKEN_LIFETIME`]) from `now` on.
    #[must_use]
    pub fn sign(
        &self,
        user_id: &str,
        role: Role,
        lifetime: Duration,
        now: DateTime<Utc>,
    ) -> String {
        let iat = now.timestamp();
        self.sign_claims(&Claims {
            sub: user_id.to_owned(),
            role,
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: iat.saturating_add_unsigned(lifetime.as_secs()),
            iat,
            jti: Some(Uuid::now_v7().to_string()),
        })
    }

    fn sign_claims(&self, claims: &impl Serialize) -> String {
        jsonwebtoken::encode(&self.header, claims, &self.key)
            .expect("the key was checked when the signer was made")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::verifier::TOKEN_BYTES_MAX;
    use super::*;
    use crate::auth::Caller;

    fn signer(kid: &str) -> Signer {
        Signer::new(kid, &generate_key()).unwrap()
    }

    fn claims() -> Value {
        let now = Utc::now().timestamp();
        json!({
            "sub": "u1", "role": "staff", "iss": ISSUER, "aud": AUDIENCE,
            "exp": now + 60, "iat": now,
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    #[test]
    fn a_signed_token_names_its_caller() {
        let signer = signer("k1");
        let verifier = Verifier::new([signer.public_key().clone()]);
        let token = signer.sign("u1", Role::Courier, TOKEN_LIFETIME, Utc::now());
        let caller = verifier.verify(&token).unwrap();
        assert_eq!(
            caller,
            Caller {
                user_id: "u1".to_owned(),
                role: Role::Courier
            }
        );
    }

    #[test]
    fn claims_that_do_not_hold_are_refused() {
        let signer = signer("k1");
        let verifier = Verifier::new([signer.public_key().clone()]);
        let now = Utc::now().timestamp();
        assert!(verifier.verify(&signer.sign_claims(&claims())).is_ok());
        assert!(
            verifier
                .verify(&signer.sign_claims(&with("nbf", json!(now - 60))))
                .is_ok()
        );
        for wrong in [
            with("exp", json!(now - 6)),
            with("exp", json!((now + 60).to_string())),
            with("exp", Value::Null),
            with("nbf", json!(now + 60)),
            with("nbf", json!("never")),
            with("aud", json!("other-api")),
            with("iss", json!("someone")),
            with("role", json!("root")),
            with("sub", json!(1)),
            without("exp"),
            without("aud"),
            without("iss"),
            without("sub"),
            without("role"),
        ] {
            assert!(
                verifier.verify(&signer.sign_claims(&wrong)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn keys_and_algorithms_that_are_not_listed_are_refused() {
        let ours = signer("k1");
        let verifier = Verifier::new([ours.public_key().clone()]);
        let now = Utc::now();
        let foreign_kid = signer("k2").sign("u1", Role::Admin, TOKEN_LIFETIME, now);
        assert!(matches!(
            verifier.verify(&foreign_kid),
            Err(TokenError::UnknownKey)
        ));
        let wrong_key = signer("k1").sign("u1", Role::Admin, TOKEN_LIFETIME, now);
        assert!(verifier.verify(&wrong_key).is_err());

        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let none = json!({"alg": "none", "typ": TOKEN_TYPE, "kid": "k1"});
        assert!(
            verifier
                .verify(&format!("{}.{}.", part(&none), part(&claims())))
                .is_err()
        );

        // The public key as an HMAC secret: the classic confusion.
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k1".to_owned());
        header.typ = Some(TOKEN_TYPE.to_owned());
        let secret = EncodingKey::from_secret(&ours.public_key().bytes);
        let confused = jsonwebtoken::encode(&header, &claims(), &secret).unwrap();
        assert!(verifier.verify(&confused).is_err());
    }

    #[test]
    fn other_kinds_of_token_are_refused() {
        let mut signer = signer("k1");
        let verifier = Verifier::new([signer.public_key().clone()]);
        signer.header.typ = Some("JWT".to_owned());
        let token = signer.sign_claims(&claims());
        assert!(matches!(
            verifier.verify(&token),
            Err(TokenError::NotAnAccessToken)
        ));
        signer.header.typ = Some(TOKEN_TYPE.to_owned());
        signer.header.crit = Some(vec!["b64".to_owned()]);
        assert!(verifier.verify(&signer.sign_claims(&claims())).is_err());
        assert!(verifier.verify(&"x".repeat(TOKEN_BYTES_MAX + 1)).is_err());
        assert!(verifier.verify("").is_err());
    }

    #[test]
    fn a_published_key_set_verifies_what_was_signed() {
        let signer = signer("k1");
        let document = serde_json::to_string(&Jwks::new([signer.public_key()])).unwrap();
        let mut with_foreign: Value = serde_json::from_str(&document).unwrap();
        let rsa = json!({"kty": "RSA", "kid": "r", "n": "AQ", "e": "AQAB"});
        with_foreign["keys"].as_array_mut().unwrap().push(rsa);
        let keys = Jwks::parse(&with_foreign.to_string()).unwrap();
        assert_eq!(keys, [signer.public_key().clone()]);

        let verifier = Verifier::new([]);
        let token = signer.sign("u1", Role::Customer, TOKEN_LIFETIME, Utc::now());
        assert!(verifier.verify(&token).is_err());
        assert!(!verifier.knows("k1"));
        verifier.replace_keys(keys);
        assert!(verifier.knows("k1"));
        assert!(verifier.verify(&token).is_ok());
        assert!(Jwks::parse("[]").is_err());
    }

    #[test]
    fn a_signer_shows_no_private_key_and_takes_no_other() {
        let pkcs8 = generate_key();
        let shown = format!("{:?}", Signer::new("k1", &pkcs8).unwrap());
        assert!(shown.contains("redacted"), "{shown}");
        assert!(Signer::new("k1", b"not a key").is_err());
    }
}
