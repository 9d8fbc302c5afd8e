//! Why a call has no answer.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

/// A call without the answer that was wanted. No reason in it contains an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It certainly had no effect.
    #[error("not sent: {why}")]
    NotSent {
        why: String,
        /// When it may be worth trying again, if that is known.
        retry_after: Option<Duration>,
    },
    /// It may have had its effect.
    #[error("outcome unknown: {why}")]
    Unknown { why: String, is_timeout: bool },
    /// A status that the caller does not want; only from [`crate::Answer::expect`].
    #[error("answered {status}")]
    Answered { status: StatusCode, body: Bytes },
}

impl CallError {
    pub(crate) fn not_sent(why: impl Into<String>) -> Self {
        let (why, retry_after) = (why.into(), None);
        CallError::NotSent { why, retry_after }
    }
}
