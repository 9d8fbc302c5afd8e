//! Values of flags.

use std::str::FromStr;

/// A stream of the log, as `product/0198c0de-…` or `stock/store-1:AB-BEE-001`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamId {
    /// The aggregate type.
    pub stream_type: String,
    /// The aggregate's id.
    pub id: String,
}

impl FromStr for StreamId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<StreamId, Self::Err> {
        match text.split_once('/') {
            Some((stream_type, id)) if !stream_type.is_empty() && !id.is_empty() => Ok(StreamId {
                stream_type: stream_type.to_owned(),
                id: id.to_owned(),
            }),
            Some(_) | None => Err("not TYPE/ID, as stock/store-1:AB-BEE-001"),
        }
    }
}
