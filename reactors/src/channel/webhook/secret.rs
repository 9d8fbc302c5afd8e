//! What web hooks are signed with.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use http_client::SettingError;

/// By Standard Webhooks: at least 192 bits, at most 512.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;
const PREFIX: &str = "whsec_";

/// A shared secret, written `whsec_` and 24 to 64 random bytes in base64, as the receiver has it too.
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

impl WebhookSecret {
    /// `v1,<base64>` of HMAC-SHA256 over `<id>.<timestamp>.<body>`.
    pub(super) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl FromStr for WebhookSecret {
    type Err = SettingError;

    fn from_str(raw: &str) -> Result<Self, SettingError> {
        let rule = || {
            SettingError::new(format!(
                "must be {PREFIX} and {BYTES_MIN} to {BYTES_MAX} random bytes in base64"
            ))
        };
        let encoded = raw.strip_prefix(PREFIX).ok_or_else(rule)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| rule())?;
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return Err(rule());
        }
        let mac = Hmac::new_from_slice(&bytes).expect("HMAC takes keys of any length");
        Ok(Self(mac))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the libraries of Standard Webhooks are tested with.
    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signature = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_long_enough_and_not_shown() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for bytes in [24, 64] {
            let secret: WebhookSecret = of(bytes).parse().unwrap();
            assert_eq!(format!("{secret:?}"), "WebhookSecret(…)");
        }
        for raw in [&of(23), &of(65), "", "whsec_", "whsec_****", "secret"] {
            let error = raw.parse::<WebhookSecret>().unwrap_err();
            assert!(error.to_string().starts_with("must be whsec_"), "{error}");
        }
    }
}
