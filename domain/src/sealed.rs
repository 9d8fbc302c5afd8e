//! Personal fields as the log holds them.

use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A `T` that only the holder of its subject's data key can read. Sealed and opened outside; here it is opaque.
///
/// Sealing is deterministic: equal values of one subject have equal seals, which is all that the rules compare. Without
/// the subject's key (erased) it stays what it is and can never be opened again.
///
/// Serialises as `{"subject":"0198…","ciphertext":"<base64>"}`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Sealed<T> {
    subject: String,
    #[serde(serialize_with = "write_base64", deserialize_with = "read_base64")]
    ciphertext: Vec<u8>,
    #[serde(skip)]
    plain: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    /// What a sealer made of a `T`: for whom, and the bytes.
    #[must_use]
    pub fn new(subject: impl Into<String>, ciphertext: Vec<u8>) -> Self {
        Self {
            subject: subject.into(),
            ciphertext,
            plain: PhantomData,
        }
    }

    /// Whose data key opens it: the user's id.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The sealed bytes.
    #[must_use]
    pub fn ciphertext(&self) -> &[u8] {
        &self.ciphertext
    }
}

impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Sealed({}, {} bytes)",
            self.subject,
            self.ciphertext.len()
        )
    }
}

fn write_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn read_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD
        .decode(String::deserialize(deserializer)?)
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Email;

    #[test]
    fn a_seal_is_its_subject_and_base64() {
        let sealed = Sealed::<Email>::new("user-1", vec![0, 1, 254, 255]);
        let json = r#"{"subject":"user-1","ciphertext":"AAH+/w=="}"#;
        assert_eq!(serde_json::to_string(&sealed).unwrap(), json);
        assert_eq!(serde_json::from_str::<Sealed<Email>>(json).unwrap(), sealed);
    }

    #[test]
    fn seals_compare_by_subject_and_bytes() {
        let sealed = Sealed::<Email>::new("user-1", vec![1]);
        assert_eq!(sealed, sealed.clone());
        assert_ne!(sealed, Sealed::new("user-2", vec![1]));
        assert_ne!(sealed, Sealed::new("user-1", vec![2]));
    }

    #[test]
    fn broken_base64_is_refused() {
        assert!(
            serde_json::from_str::<Sealed<Email>>(r#"{"subject":"u","ciphertext":"%"}"#).is_err()
        );
    }
}
