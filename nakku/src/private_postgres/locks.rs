//! Who uses a data directory's private server.
//!
//! `postgres.lock` is held by the one process that owns the server, and names it. `postgres.users.lock` is shared by every
//! process that uses it; who gets it alone knows that nobody else does. The kernel drops both with the process.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;

const OWNER_FILE: &str = "postgres.lock";
const USERS_FILE: &str = "postgres.users.lock";

/// The locks of one data directory.
#[derive(Debug)]
pub(super) struct Locks {
    data_dir: PathBuf,
}

/// What kind of process owns the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// Keeps it until it ends.
    Up,
    /// Hands it on to the verbs that joined.
    Verb,
}

/// The server is this process's to start and stop, until this is dropped.
#[derive(Debug)]
pub(super) struct Ownership {
    _file: File,
    holder: Holder,
}

/// This process uses the server, until this is dropped.
#[derive(Debug)]
pub(super) struct Presence {
    _file: File,
}

/// Nobody else uses the server, nor can begin to until this is dropped.
#[derive(Debug)]
pub(super) struct Alone {
    _file: File,
}

/// The owner by its own word, for messages.
#[derive(Debug)]
pub(super) struct NamedHolder {
    text: String,
}

impl Locks {
    /// Makes the data directory unless it is there.
    pub(super) fn new(data_dir: &Path) -> anyhow::Result<Locks> {
        fs::create_dir_all(data_dir)
            .with_context(|| format!("make the data directory {}", data_dir.display()))?;
        let data_dir = fs::canonicalize(data_dir)
            .with_context(|| format!("find the data directory {}", data_dir.display()))?;
        Ok(Locks { data_dir })
    }

    /// Absolute, without links.
    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Takes the ownership unless another process has it.
    pub(super) fn try_own(&self, holder: Holder) -> anyhow::Result<Option<Ownership>> {
        let mut file = self.open(OWNER_FILE)?;
        if !acquired(file.try_lock(), OWNER_FILE)? {
            return Ok(None);
        }
        let word = match holder {
            Holder::Up => "up",
            Holder::Verb => "verb",
        };
        file.set_len(0)
            .and_then(|()| writeln!(file, "{word} {}", std::process::id()))
            .context("write the owner's lock file")?;
        Ok(Some(Ownership {
            _file: file,
            holder,
        }))
    }

    /// Uses the server; waits while another process stops it.
    pub(super) fn join(&self) -> anyhow::Result<Presence> {
        let file = self.open(USERS_FILE)?;
        file.lock_shared()
            .with_context(|| format!("lock {USERS_FILE}"))?;
        Ok(Presence { _file: file })
    }

    /// Uses the server, unless another process is stopping it.
    pub(super) fn try_join(&self) -> anyhow::Result<Option<Presence>> {
        let file = self.open(USERS_FILE)?;
        Ok(acquired(file.try_lock_shared(), USERS_FILE)?.then_some(Presence { _file: file }))
    }

    /// Keeps everybody else away, unless somebody is there.
    pub(super) fn try_alone(&self) -> anyhow::Result<Option<Alone>> {
        let file = self.open(USERS_FILE)?;
        Ok(acquired(file.try_lock(), USERS_FILE)?.then_some(Alone { _file: file }))
    }

    /// The owner as its lock file names it.
    pub(super) fn holder(&self) -> NamedHolder {
        let text = fs::read_to_string(self.data_dir.join(OWNER_FILE)).unwrap_or_default();
        NamedHolder {
            text: text.trim().to_owned(),
        }
    }

    fn open(&self, name: &str) -> anyhow::Result<File> {
        let path = self.data_dir.join(name);
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))
    }
}

impl Ownership {
    pub(super) fn holder(&self) -> Holder {
        self.holder
    }
}

impl NamedHolder {
    pub(super) fn is_up(&self) -> bool {
        self.text.starts_with("up ")
    }
}

impl fmt::Display for NamedHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text.split_once(' ') {
            Some(("up", pid)) => write!(f, "another `nakku up` (process {pid})"),
            Some((_, pid)) => write!(f, "another nakku command (process {pid})"),
            None => f.write_str("another nakku"),
        }
    }
}

fn acquired(result: Result<(), TryLockError>, name: &str) -> anyhow::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {name}")),
    }
}
