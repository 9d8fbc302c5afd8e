//! Which data directory an index belongs to.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use uuid::Uuid;

use super::NAME;

const FILE: &str = "directory-id";

/// The identity of a data directory: its index has a lease, generations and a position of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DirectoryId(Uuid);

impl DirectoryId {
    /// Reads the identity, giving the directory one if it has none. Of several processes that try
    /// at once one wins, and all get the same.
    pub fn ensure(data_dir: &Path) -> io::Result<Self> {
        if let Some(id) = Self::read(data_dir)? {
            return Ok(id);
        }
        let search = data_dir.join(NAME);
        fs::create_dir_all(&search)?;
        let draft = search.join(format!("{FILE}.{}", Uuid::now_v7()));
        let mut file = File::create_new(&draft)?;
        writeln!(file, "{}", Uuid::now_v7())?;
        file.sync_all()?;
        // A link never replaces: the first one stays.
        let linked = fs::hard_link(&draft, search.join(FILE));
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(&search)?.sync_all()?,
        }
        Self::read(data_dir)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The identity, if the directory has one.
    pub fn read(data_dir: &Path) -> io::Result<Option<Self>> {
        let path = data_dir.join(NAME).join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let id = text.trim().parse().map_err(|error| {
            let message = format!("{} does not hold an id: {error}", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(Some(Self(id)))
    }

    /// The name under which this directory's index is registered, leased and checkpointed.
    pub fn consumer(&self) -> String {
        format!("{NAME}@{}", self.0)
    }
}

impl std::fmt::Display for DirectoryId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}
