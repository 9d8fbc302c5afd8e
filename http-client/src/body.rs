//! Bodies of requests and answers.

mod answered;
mod kept;
mod pieces;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

use crate::reason::causes;

pub(crate) use answered::Answered;
pub(crate) use kept::Kept;
pub(crate) use pieces::Pieces;

/// An error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request or of an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is more of it than the reader takes.
    #[error("the body is longer than {0} bytes")]
    TooLong(usize),
    /// It broke off, or stood still for too long.
    #[error("the body broke off: {0}")]
    Broken(String),
}

/// No body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body from memory.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    let bytes = bytes.into();
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that comes piece by piece.
pub fn stream<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// The whole body, if it has at most `bytes_max`.
///
/// # Errors
/// [`ReadError`].
pub async fn read_capped(body: Body, bytes_max: usize) -> Result<Bytes, ReadError> {
    match read_up_to(body, bytes_max).await {
        Ok((bytes, true)) => Ok(bytes),
        Ok((_, false)) => Err(ReadError::TooLong(bytes_max)),
        Err(error) => Err(ReadError::Broken(causes(&*error))),
    }
}

/// At most `bytes_max` of the body, and whether that is all of it.
pub(crate) async fn read_up_to(
    mut body: Body,
    bytes_max: usize,
) -> Result<(Bytes, bool), BoxError> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = bytes_max - read.len();
        if data.len() > room {
            read.extend_from_slice(&data[..room]);
            return Ok((read.freeze(), false));
        }
        if read.is_empty() && body.is_end_stream() {
            return Ok((data, true));
        }
        read.extend_from_slice(&data);
    }
    Ok((read.freeze(), true))
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::stream as futures_stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn pieces(pieces: Vec<Result<&'static str, io::Error>>) -> Body {
        let frames = pieces
            .into_iter()
            .map(|piece| piece.map(|text| Frame::data(Bytes::from(text))));
        stream(StreamBody::new(futures_stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_body_is_read_whole_up_to_its_bound_and_not_a_byte_further() {
        let read = read_capped(pieces(vec![Ok("ab"), Ok("cd")]), 4).await;
        assert_eq!(read.unwrap(), "abcd");
        let read = read_capped(pieces(vec![Ok("ab"), Ok("cde")]), 4).await;
        assert!(matches!(read, Err(ReadError::TooLong(4))));
        assert_eq!(read_capped(full("abcd"), 4).await.unwrap(), "abcd");
        assert_eq!(read_capped(empty(), 0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_shorter_body() {
        let read = read_capped(pieces(vec![Ok("ab"), Err(io::Error::other("cut"))]), 4).await;
        assert_eq!(read.unwrap_err().to_string(), "the body broke off: cut");
    }
}
