//! A small answer, read to its end.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::error::CallError;

/// An answer, or the beginning of a long one.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    is_whole: bool,
    bytes_max: usize,
}

/// An answer that is not what it should be. Reads as a predicate: "is longer than …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The rest was not read.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// It has another shape.
    #[error("is unreadable: {0}")]
    Unreadable(String),
}

impl Answer {
    pub(crate) fn new(
        head: http::response::Parts,
        body: Bytes,
        is_whole: bool,
        bytes_max: usize,
    ) -> Self {
        Answer {
            status: head.status,
            headers: head.headers,
            body,
            is_whole,
            bytes_max,
        }
    }

    /// The answer, if it has one of these statuses.
    ///
    /// # Errors
    /// [`CallError::Answered`].
    pub fn expect(self, wanted: &[StatusCode]) -> Result<Self, CallError> {
        if wanted.contains(&self.status) {
            return Ok(self);
        }
        let Answer { status, body, .. } = self;
        Err(CallError::Answered { status, body })
    }

    /// The body, as JSON.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, AnswerError> {
        if !self.is_whole {
            return Err(AnswerError::TooLong(self.bytes_max));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| AnswerError::Unreadable(error.to_string()))
    }
}
