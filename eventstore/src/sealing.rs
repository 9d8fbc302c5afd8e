//! Sealing personal fields: authenticated, deterministic encryption under a data key per subject.
//!
//! Deterministic, so that "nothing changed" can compare sealed values. A data key is wrapped by the master
//! key of the keys file; without its row in `data_keys` whatever it sealed is unreadable for good.
//!
//! Keys are read when they are needed and kept by nobody: a command or a batch of events that began before
//! an erasure may open what it has read until it ends, and nothing else does.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::sync::Semaphore;

/// The secrets of the keys file that the log rests on.
#[derive(Clone)]
pub struct Keys {
    /// Wraps the data keys (AES-256-SIV: 64 bytes).
    pub master: [u8; 64],
    /// Keys the digests that name claims and tell commands apart.
    pub pepper: [u8; 32],
}

impl Keys {
    /// Tells one keys file from another without telling anything about it.
    pub fn fingerprint(&self) -> Vec<u8> {
        let digest = Sha256::new()
            .chain_update(b"nakku keys")
            .chain_update(self.master)
            .chain_update(self.pepper)
            .finalize();
        digest[..16].to_vec()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// The key of one subject.
#[derive(Clone)]
pub struct DataKey {
    pub(crate) subject: String,
    key: [u8; 64],
    pub(crate) wrapped: Vec<u8>,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKey({})", self.subject)
    }
}

/// Why a field could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the data key of {subject} was not wrapped with this keys file")]
    OtherMasterKey { subject: String },
    #[error("the data keys cannot be read")]
    Database(#[from] sqlx::Error),
}

/// Seals and opens fields.
#[derive(Clone)]
pub struct Sealer {
    keys: Keys,
    pool: PgPool,
    /// Turns at the pool.
    readers: Arc<Semaphore>,
}

impl Sealer {
    pub(crate) fn new(keys: Keys, pool: PgPool, readers: Arc<Semaphore>) -> Self {
        Self {
            keys,
            pool,
            readers,
        }
    }

    /// Draws the key of a subject that has none. It counts once the command that carries it
    /// (`CommandContext::data_keys`) has committed.
    pub fn new_key(&self, subject: &str) -> DataKey {
        let mut key = [0; 64];
        rand::rng().fill_bytes(&mut key);
        DataKey {
            subject: subject.to_owned(),
            key,
            wrapped: encrypt(&self.keys.master, subject, &key),
        }
    }

    /// Destroys the key of a subject: for what was sealed before it was erased, and has its key again, as after
    /// a restore of that table. An erasure itself carries it (`CommandContext::erased_subjects`).
    pub async fn destroy(&self, subject: &str) -> sqlx::Result<()> {
        sqlx::query("delete from data_keys where subject = $1")
            .bind(subject)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The key of a subject whose stream is in another log, drawn and stored now where this one has none. For nobody who was
    /// erased: it would be a fresh key.
    pub async fn key_or_new(&self, subject: &str) -> Result<DataKey, SealError> {
        if let Some(key) = self.key(subject).await? {
            return Ok(key);
        }
        let drawn = self.new_key(subject);
        // Another request may have been quicker: its key is the one.
        sqlx::query(
            "insert into data_keys (subject, wrapped) values ($1, $2) on conflict (subject) do nothing",
        )
        .bind(&drawn.subject)
        .bind(&drawn.wrapped)
        .execute(&self.pool)
        .await?;
        Ok(self.key(subject).await?.unwrap_or(drawn))
    }

    /// The key of a subject; none if it never had one or was erased.
    pub async fn key(&self, subject: &str) -> Result<Option<DataKey>, SealError> {
        Ok(self.keys_of(&[subject]).await?.remove(subject))
    }

    /// The keys of several subjects, by subject, in one query; those without one are absent.
    pub async fn keys_of(&self, subjects: &[&str]) -> Result<HashMap<String, DataKey>, SealError> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        // Never closed: without a turn it would go on all the same.
        let _turn = self.readers.acquire().await;
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("select subject, wrapped from data_keys where subject = any($1)")
                .bind(subjects)
                .fetch_all(&self.pool)
                .await?;
        let unwrapped = rows.into_iter().map(|(subject, wrapped)| {
            let key = decrypt(&self.keys.master, &subject, &wrapped)
                .and_then(|key| key.try_into().ok())
                .ok_or_else(|| SealError::OtherMasterKey {
                    subject: subject.clone(),
                })?;
            let key = DataKey {
                subject: subject.clone(),
                key,
                wrapped,
            };
            Ok((subject, key))
        });
        unwrapped.collect()
    }

    /// A keyed digest (64 hex digits) that names a claim, as of an e-mail address, without telling it.
    pub fn digest(&self, scope: &str, value: &str) -> String {
        let bytes = self.fingerprint(&[scope.as_bytes(), value.as_bytes()]);
        bytes.iter().fold(String::new(), |mut hex, byte| {
            use fmt::Write;
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// A keyed digest (32 bytes) over parts, each with its length, so that no two lists of parts agree.
    pub fn fingerprint(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&self.keys.pepper)
            .expect("any length will do");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().to_vec()
    }
}

impl DataKey {
    /// Whose key it is.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Seals bytes: the same ones always to the same.
    pub fn seal(&self, plaintext: &[u8]) -> Vec<u8> {
        encrypt(&self.key, &self.subject, plaintext)
    }

    /// Opens what [`seal`](Self::seal) made; none if it was made with another key.
    pub fn open(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        decrypt(&self.key, &self.subject, ciphertext)
    }
}

fn encrypt(key: &[u8; 64], subject: &str, plaintext: &[u8]) -> Vec<u8> {
    Aes256Siv::new(key.into())
        .encrypt([subject.as_bytes()], plaintext)
        .expect("one associated value is allowed")
}

fn decrypt(key: &[u8; 64], subject: &str, ciphertext: &[u8]) -> Option<Vec<u8>> {
    Aes256Siv::new(key.into())
        .decrypt([subject.as_bytes()], ciphertext)
        .ok()
}
