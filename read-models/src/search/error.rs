//! Why the index could not be used.

use std::io;
use std::path::{Path, PathBuf};

use tantivy::TantivyError;
use tantivy::directory::error::{LockError, OpenDirectoryError, OpenReadError};

use super::{InvalidRequest, SHAPE};
use crate::Unavailable;

/// Why an index could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("no search index in {}", dir.display())]
    Missing { dir: PathBuf },
    /// The files contradict themselves: build the index anew.
    #[error("search index in {} is damaged: {reason}", dir.display())]
    Damaged { dir: PathBuf, reason: String },
    /// Made by a program with another schema: build the index anew.
    #[error("search index in {} has shape `{found}`, this program has `{SHAPE}`", dir.display())]
    OtherShape { dir: PathBuf, found: String },
    #[error("search index in {} is being written by another writer", dir.display())]
    Locked { dir: PathBuf },
    /// Anything else, a full disk for one. A writer that met it must [recover](super::SearchWriter::recover).
    #[error("search index in {}", dir.display())]
    Tantivy { dir: PathBuf, source: TantivyError },
    #[error("files of the search index in {}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
}

impl IndexError {
    /// Whether only a rebuild from the log helps.
    pub fn needs_rebuild(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } | Self::OtherShape { .. } => true,
            Self::Locked { .. } | Self::Tantivy { .. } | Self::Io { .. } => false,
        }
    }

    pub(super) fn damaged(dir: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            dir: dir.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn io(dir: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            dir: dir.to_owned(),
            source,
        }
    }

    /// Sorts Tantivy's errors by what helps: a rebuild, another writer's end, or trying again.
    pub(super) fn tantivy(dir: &Path) -> impl FnOnce(TantivyError) -> Self {
        move |error| match &error {
            TantivyError::OpenDirectoryError(OpenDirectoryError::DoesNotExist(_)) => {
                Self::Missing {
                    dir: dir.to_owned(),
                }
            }
            TantivyError::DataCorruption(_)
            | TantivyError::IncompatibleIndex(_)
            | TantivyError::SchemaError(_)
            | TantivyError::DeserializeError(_)
            | TantivyError::OpenReadError(
                OpenReadError::FileDoesNotExist(_) | OpenReadError::IncompatibleIndex(_),
            ) => Self::damaged(dir, error.to_string()),
            TantivyError::OpenReadError(OpenReadError::IoError { io_error, .. })
            | TantivyError::IoError(io_error)
                if is_damage(io_error) =>
            {
                Self::damaged(dir, error.to_string())
            }
            TantivyError::LockFailure(LockError::LockBusy, _) => Self::Locked {
                dir: dir.to_owned(),
            },
            _ => Self::Tantivy {
                dir: dir.to_owned(),
                source: error,
            },
        }
    }
}

/// Tantivy reports a file that ends early or has no footer as an I/O error of these kinds.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// Why a search did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("search index")]
    Index(#[from] TantivyError),
    #[error("a stored document cannot be read")]
    Document(#[from] serde_json::Error),
}
