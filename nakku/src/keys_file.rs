//! The keys file: the secrets that every process of one installation shares.
//!
//! JSON with mode 0600, made once at the first start. Losing it makes every sealed field unreadable, so it is never
//! overwritten, and belongs into a backup of its own.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Of the file's layout. A file of another version is refused, not guessed at.
const VERSION: u32 = 1;
/// Bytes of the public key's digest in a key id: enough to tell an installation's keys apart.
const KEY_ID_BYTES: usize = 8;

/// The secrets of one installation.
#[derive(Clone)]
pub struct KeysFile {
    /// Wraps the data keys of personal fields (AES-256-SIV).
    pub master: [u8; 64],
    /// Keys the digests that name e-mail claims.
    pub pepper: [u8; 32],
    /// Signs bearer tokens.
    pub signing: SigningKey,
}

/// An Ed25519 key pair.
#[derive(Clone)]
pub struct SigningKey {
    /// Names the key in tokens and in the published key set: a digest of the public key, in hex.
    pub kid: String,
    /// The private key, PKCS#8 DER.
    pub pkcs8: Vec<u8>,
    /// The public key, 32 raw bytes.
    pub public: [u8; 32],
}

/// The file's text; bytes in base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    master: String,
    pepper: String,
    signing: String,
}

impl KeysFile {
    /// Reads the file, or makes it where there is none. Of several processes that do so at once one makes it, and all read
    /// that one.
    ///
    /// # Errors
    /// One line that names the file: not readable, open to others than its owner, damaged.
    pub fn load_or_create(path: &Path) -> anyhow::Result<KeysFile> {
        if let Some(keys) = KeysFile::load_if_there(path)? {
            return Ok(keys);
        }
        create(path)?;
        KeysFile::load(path)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// As [`KeysFile::load_or_create`], and when there is none.
    pub fn load(path: &Path) -> anyhow::Result<KeysFile> {
        KeysFile::load_if_there(path)?
            .with_context(|| format!("there is no keys file {}", path.display()))
    }

    /// What the event store takes from the file.
    pub fn log_keys(&self) -> eventstore::Keys {
        eventstore::Keys {
            master: self.master,
            pepper: self.pepper,
        }
    }

    /// Tells one file from another without telling anything about the secrets. The token key is not part of it: changing it
    /// ends sessions, but leaves the log readable.
    pub fn fingerprint(&self) -> Vec<u8> {
        self.log_keys().fingerprint()
    }

    fn load_if_there(path: &Path) -> anyhow::Result<Option<KeysFile>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("look at the keys file {}", path.display()));
            }
        };
        if !metadata.is_file() {
            bail!("the keys file {} is not a file", path.display());
        }
        let mode = metadata.mode() & 0o777;
        if mode & 0o077 != 0 {
            bail!(
                "the keys file {} is open to others than its owner (mode {mode:04o}): run `chmod 600 {}`, and think about who \
                 may have read it",
                path.display(),
                path.display()
            );
        }
        let text = fs::read_to_string(path)
            .with_context(|| format!("read the keys file {}", path.display()))?;
        parse(&text)
            .map(Some)
            .with_context(|| format!("the keys file {} is damaged", path.display()))
    }
}

impl fmt::Debug for KeysFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysFile")
            .field("signing", &self.signing)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

fn parse(text: &str) -> anyhow::Result<KeysFile> {
    let stored: Stored = serde_json::from_str(text)?;
    if stored.version != VERSION {
        bail!(
            "its version is {}, this nakku reads {VERSION}",
            stored.version
        );
    }
    Ok(KeysFile {
        master: bytes(&stored.master).context("member master")?,
        pepper: bytes(&stored.pepper).context("member pepper")?,
        signing: STANDARD
            .decode(&stored.signing)
            .map_err(anyhow::Error::from)
            .and_then(signing_key)
            .context("member signing")?,
    })
}

fn bytes<const LENGTH: usize>(text: &str) -> anyhow::Result<[u8; LENGTH]> {
    let decoded = STANDARD.decode(text)?;
    let length = decoded.len();
    decoded
        .try_into()
        .map_err(|_| anyhow!("{length} bytes instead of {LENGTH}"))
}

fn signing_key(pkcs8: Vec<u8>) -> anyhow::Result<SigningKey> {
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8)
        .map_err(|error| anyhow!("not an Ed25519 key: {error}"))?;
    let public: [u8; 32] = pair
        .public_key()
        .as_ref()
        .try_into()
        .context("the public key's length")?;
    let kid = hex(&digest(&SHA256, &public).as_ref()[..KEY_ID_BYTES]);
    Ok(SigningKey { kid, pkcs8, public })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes new secrets beside the file's place and links them there: the file appears whole or not at all, and one that
/// another process made meanwhile stays.
fn create(path: &Path) -> anyhow::Result<()> {
    let directory = directory_of(path);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&directory)
        .with_context(|| format!("make the directory of the keys file {}", path.display()))?;

    let unfinished = directory.join(format!(".keys.{}", uuid::Uuid::now_v7().simple()));
    let linked = write_durably(&unfinished, &new_secrets()?).and_then(|()| {
        match fs::hard_link(&unfinished, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    });
    let removed = fs::remove_file(&unfinished);
    linked
        .and(removed)
        .with_context(|| format!("make the keys file {}", path.display()))?;
    // The name must be as durable as the log that will rest on these keys.
    File::open(&directory)
        .and_then(|directory| directory.sync_all())
        .with_context(|| format!("make the keys file {} durable", path.display()))
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn write_durably(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn new_secrets() -> anyhow::Result<String> {
    let mut master = [0; 64];
    let mut pepper = [0; 32];
    rand::fill(&mut master)
        .and_then(|()| rand::fill(&mut pepper))
        .map_err(|_| anyhow!("the system has no random bytes"))?;
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .map_err(|_| anyhow!("no Ed25519 key could be made"))?;
    let stored = Stored {
        version: VERSION,
        master: STANDARD.encode(master),
        pepper: STANDARD.encode(pepper),
        signing: STANDARD.encode(pkcs8.as_ref()),
    };
    Ok(serde_json::to_string_pretty(&stored)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_made_once_and_only_for_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deeper/keys.json");
        let made = KeysFile::load_or_create(&path).unwrap();
        let read = KeysFile::load_or_create(&path).unwrap();

        assert_eq!(made.master, read.master);
        assert_eq!(made.pepper, read.pepper);
        assert_eq!(made.signing.pkcs8, read.signing.pkcs8);
        assert_eq!(made.signing.kid, read.signing.kid);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn processes_that_start_at_once_share_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        let mut fingerprints: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| KeysFile::load_or_create(&path).unwrap().fingerprint()))
                .collect();
            starting
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        fingerprints.dedup();
        assert_eq!(fingerprints.len(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        KeysFile::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeysFile::load(&path).unwrap_err().to_string();
            assert!(
                error.contains("keys.json") && error.contains(&format!("{mode:04o}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.json");
        KeysFile::load_or_create(&path).unwrap();
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("\"version\": 1", "\"version\": 2");
        fs::write(&path, &text).unwrap();
        let error = format!("{:#}", KeysFile::load_or_create(&path).unwrap_err());
        assert!(error.contains("its version is 2"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn installations_differ_and_their_secrets_do_not_show() {
        let directory = tempfile::tempdir().unwrap();
        let one = KeysFile::load_or_create(&directory.path().join("one.json")).unwrap();
        let other = KeysFile::load_or_create(&directory.path().join("other.json")).unwrap();
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_ne!(one.signing.kid, other.signing.kid);
        assert_eq!(
            format!("{one:?}"),
            format!(
                "KeysFile {{ signing: SigningKey {{ kid: {:?}, .. }}, .. }}",
                one.signing.kid
            )
        );
    }
}
