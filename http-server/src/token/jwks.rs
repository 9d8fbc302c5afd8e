//! The public keys as other roles fetch them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{KeyError, PublicKey};

/// A key set as published under `/.well-known/jwks.json` (RFC 7517, RFC 8037).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Ed25519Jwk {
    kty: String,
    crv: String,
    kid: String,
    x: String,
    #[serde(rename = "use", default)]
    usage: Option<String>,
    #[serde(default)]
    alg: Option<String>,
}

impl Jwks {
    /// The document for these keys.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a PublicKey>) -> Self {
        let jwk = |key: &PublicKey| {
            serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                "kid": key.kid, "x": URL_SAFE_NO_PAD.encode(key.bytes),
            })
        };
        Jwks {
            keys: keys.into_iter().map(jwk).collect(),
        }
    }

    /// The Ed25519 signing keys of a document; keys of other kinds are passed over.
    ///
    /// # Errors
    /// [`KeyError::NotJwks`].
    pub fn parse(document: &str) -> Result<Vec<PublicKey>, KeyError> {
        let jwks: Jwks =
            serde_json::from_str(document).map_err(|error| KeyError::NotJwks(error.to_string()))?;
        Ok(jwks.keys.into_iter().filter_map(public_key).collect())
    }
}

fn public_key(jwk: serde_json::Value) -> Option<PublicKey> {
    let jwk: Ed25519Jwk = serde_json::from_value(jwk).ok()?;
    let fits = jwk.kty == "OKP"
        && jwk.crv == "Ed25519"
        && jwk.usage.is_none_or(|usage| usage == "sig")
        && jwk.alg.is_none_or(|alg| alg == "EdDSA" || alg == "Ed25519");
    let bytes = URL_SAFE_NO_PAD.decode(&jwk.x).ok()?.try_into().ok()?;
    fits.then_some(PublicKey {
        kid: jwk.kid,
        bytes,
    })
}
