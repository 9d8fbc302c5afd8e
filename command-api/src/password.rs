//! Passwords: what is accepted as one, and how it is turned into what is stored.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::Sealer;
use http_server::Problem;
use tokio::sync::Semaphore;

/// Characters of a new password, at least: what a guesser who is slowed down does not get through.
pub const CHARACTERS_MIN: usize = 10;
/// And at most: longer than any pass phrase.
pub const CHARACTERS_MAX: usize = 200;
/// Bytes of a random password: 120 bits, 20 characters.
const RANDOM_BYTES: usize = 15;
const SALT_BYTES: usize = 16;
/// Hashes that may wait for a processor: a second's worth on a small machine. One more is refused at once.
const WAITING_MAX: usize = 64;

/// Verified for users that are not there, so that they take as long. Nobody knows its password.
const HASH_OF_NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmUhIQ$9vVd0MXFTqDHhMAIPZBsXy3e6UqHkJtW1gZr2mN5cLo";

/// A password that may be set: 10 to 200 characters. Never shown by `Debug`, and serialised by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Too short or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("password must have {CHARACTERS_MIN} to {CHARACTERS_MAX} characters")]
pub struct InvalidPassword;

impl Password {
    /// A new one that cannot be guessed, of letters, digits, `-` and `_`.
    #[must_use]
    pub fn random() -> Self {
        Self(URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>()))
    }

    /// The password itself, to be told once.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Password {
    type Error = InvalidPassword;

    fn try_from(raw: String) -> Result<Self, InvalidPassword> {
        if (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&raw.chars().count()) {
            return Ok(Self(raw));
        }
        Err(InvalidPassword)
    }
}

impl FromStr for Password {
    type Err = InvalidPassword;

    fn from_str(raw: &str) -> Result<Self, InvalidPassword> {
        raw.to_owned().try_into()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Hashes and verifies passwords (argon2id, 19 MiB, 2 passes) beside the asynchronous work, as many at a time as there
/// are processors. Cheap to clone; clones share the bound.
#[derive(Debug, Clone)]
pub struct Passwords {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self {
            admitted: Arc::new(Semaphore::new(processors + WAITING_MAX)),
            running: Arc::new(Semaphore::new(processors)),
        }
    }
}

impl Passwords {
    /// The hash to be stored, with a salt of its own.
    pub(crate) async fn hash(&self, password: &Password) -> Result<String, Problem> {
        let password = password.clone();
        let salt = rand::random::<[u8; SALT_BYTES]>();
        self.compute(move || {
            let salt = SaltString::encode_b64(&salt)?;
            let hash = Argon2::default().hash_password(password.0.as_bytes(), &salt)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether this password belongs to this hash. Without a hash it does not, and takes as long to say so.
    pub(crate) async fn matches(
        &self,
        password: &str,
        hash: Option<&str>,
    ) -> Result<bool, Problem> {
        let password = password.to_owned();
        let hash = hash.unwrap_or(HASH_OF_NOBODY).to_owned();
        self.compute(move || {
            let hash = PasswordHash::new(&hash)?;
            match Argon2::default().verify_password(password.as_bytes(), &hash) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::Password) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Stands for a password in the digest of a request, which goes into the log: as slow to guess as the stored hash,
    /// and the same each time for the same `subject`.
    pub(crate) async fn stretched(
        &self,
        sealer: &Sealer,
        subject: &str,
        password: &str,
    ) -> Result<String, Problem> {
        let salt = sealer.fingerprint(&[b"password", subject.as_bytes()]);
        let password = password.to_owned();
        self.compute(move || {
            let mut stretched = [0; 32];
            Argon2::default().hash_password_into(password.as_bytes(), &salt, &mut stretched)?;
            Ok(URL_SAFE_NO_PAD.encode(stretched))
        })
        .await
    }

    async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> argon2::password_hash::Result<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let admitted = self
            .admitted
            .clone()
            .try_acquire_owned()
            .map_err(|_| Problem::overloaded())?;
        let running = self
            .running
            .clone()
            .acquire_owned()
            .await
            .expect("never closed");
        let computed = tokio::task::spawn_blocking(move || {
            // Held by the work and not by who waits for it: a waiter that is gone frees no processor.
            let _permits = (admitted, running);
            work()
        });
        computed
            .await
            .map_err(Problem::internal)?
            .map_err(|error| Problem::internal(format!("a password cannot be hashed: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_ten_to_two_hundred_characters() {
        assert!("a".repeat(9).parse::<Password>().is_err());
        assert!("ä".repeat(10).parse::<Password>().is_ok());
        assert!("ä".repeat(200).parse::<Password>().is_ok());
        assert!("a".repeat(201).parse::<Password>().is_err());
    }

    #[test]
    fn a_random_password_is_one_and_is_not_shown() {
        let (one, other) = (Password::random(), Password::random());
        assert_ne!(one, other);
        assert_eq!(one.as_str().parse::<Password>(), Ok(one.clone()));
        assert_eq!(format!("{one:?}"), "Password(…)");
    }

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::default();
        let password = Password::random();
        let hash = passwords.hash(&password).await.unwrap();
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        assert!(
            passwords
                .matches(password.as_str(), Some(&hash))
                .await
                .unwrap()
        );
        assert!(!passwords.matches("another", Some(&hash)).await.unwrap());
        assert!(!passwords.matches(password.as_str(), None).await.unwrap());
    }

    #[tokio::test]
    async fn too_many_at_once_are_refused() {
        let passwords = Passwords {
            admitted: Arc::new(Semaphore::new(1)),
            running: Arc::new(Semaphore::new(1)),
        };
        let (one, other) = tokio::join!(passwords.matches("a", None), passwords.matches("b", None));
        assert!(!one.unwrap());
        assert_eq!(other.unwrap_err().kind(), http_server::Kind::OVERLOADED);
        assert!(!passwords.matches("c", None).await.unwrap());
    }

    #[test]
    fn nobodys_hash_costs_what_a_users_does() {
        let nobody = PasswordHash::new(HASH_OF_NOBODY).unwrap();
        let parameters = argon2::Params::try_from(&nobody).unwrap();
        let costs = |of: &argon2::Params| (of.m_cost(), of.t_cost(), of.p_cost());
        assert_eq!(costs(&parameters), costs(Argon2::default().params()));
        assert_eq!(nobody.algorithm.as_str(), "argon2id");
        assert_eq!(
            nobody.hash.unwrap().len(),
            argon2::Params::DEFAULT_OUTPUT_LEN
        );
    }
}
