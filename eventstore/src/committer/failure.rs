//! What a failed call means for the batch.

use sqlx::Error;

/// Why a batch has no answer.
pub(super) enum Failure {
    /// The store says that nothing was committed, and may take it later.
    NotCommitted(Error),
    /// The connection was lost on the way: it may have been committed, or may yet be.
    Unknown(Error),
    /// The store will never take it as it is.
    BadRequest(Error),
}

impl Failure {
    pub(super) fn of(error: Error) -> Self {
        let Error::Database(database) = &error else {
            return match error {
                // Made here, before anything was sent.
                Error::Encode(_) | Error::ColumnDecode { .. } | Error::Decode(_) => {
                    Self::BadRequest(error)
                }
                _ => Self::Unknown(error),
            };
        };
        match database.code().as_deref() {
            // A lock or statement timeout, a cancelled statement, a deadlock, a serialization failure, a
            // server that has become read-only (a failover).
            Some("55P03" | "57014" | "40001" | "40P01" | "25006") => Self::NotCommitted(error),
            // Out of disk, memory or connections; an I/O error: another try may do.
            Some(code) if code.starts_with("53") || code.starts_with("58") => {
                Self::NotCommitted(error)
            }
            // The server is going down, or the connection broke.
            Some(code) if code.starts_with("57P") || code.starts_with("08") => Self::Unknown(error),
            // The transaction was ended from outside while it waited (idle_in_transaction_session_timeout).
            Some("25P03") => Self::NotCommitted(error),
            _ => Self::BadRequest(error),
        }
    }
}
