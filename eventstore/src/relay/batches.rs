//! How the records travel.

use rdkafka::error::RDKafkaErrorCode;

use super::RelayError;
use super::window::RECORDS_MAX;

/// Each attempt that is refused for its size tries batches of so much less.
const SHRINKING: u32 = 8;

/// Of the first attempt after full batches were refused.
const SHRUNK_BYTES: u32 = 128 * 1024;

/// Below this it is simpler to send each record alone.
const SMALL_MIN: u32 = 2 * 1024;

/// A batch holds one record at least: with this bound it holds no more.
const ALONE: u32 = 1;

/// Batches stay small for so many positions: as many as may have been under way.
const SMALL_FOR: i64 = RECORDS_MAX as i64;

/// How the records travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Batches {
    Full,
    /// No larger than so many bytes until the checkpoint is here. Brokers refuse a batch as a whole: records that are
    /// small enough alone then arrive, and one that is not is named.
    Small {
        bytes: u32,
        until: i64,
    },
}

impl Batches {
    /// For the attempt after this error.
    pub(super) fn after(self, error: &RelayError) -> Self {
        match error {
            RelayError::Delivery {
                position, source, ..
            } if source.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                self.smaller(*position)
            }
            _ => self,
        }
    }

    fn smaller(self, refused: i64) -> Self {
        match self {
            Self::Full => Self::Small {
                bytes: SHRUNK_BYTES,
                until: refused + SMALL_FOR,
            },
            // It is this very record: once it has been taken, there is no reason left.
            Self::Small { bytes: ALONE, .. } => Self::Small {
                bytes: ALONE,
                until: refused,
            },
            Self::Small { bytes, .. } => Self::Small {
                bytes: Some(bytes / SHRINKING)
                    .filter(|bytes| *bytes >= SMALL_MIN)
                    .unwrap_or(ALONE),
                until: refused + SMALL_FOR,
            },
        }
    }

    /// The bound of a batch; none for the client's own.
    pub(super) fn bytes(self) -> Option<u32> {
        match self {
            Self::Full => None,
            Self::Small { bytes, .. } => Some(bytes),
        }
    }

    /// Whether full batches may be tried again.
    pub(super) fn have_passed(self, position: i64) -> bool {
        match self {
            Self::Full => false,
            Self::Small { until, .. } => position >= until,
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::KafkaError;

    use super::*;

    fn refused(code: RDKafkaErrorCode) -> RelayError {
        RelayError::Delivery {
            topic: "topic".to_owned(),
            position: 7,
            source: KafkaError::MessageProduction(code),
        }
    }

    #[test]
    fn batches_shrink_while_they_are_refused_for_their_size() {
        let size = refused(RDKafkaErrorCode::MessageSizeTooLarge);
        let other = refused(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert_eq!(Batches::Full.after(&other), Batches::Full);

        let mut batches = Batches::Full;
        let mut bytes = Vec::new();
        for _ in 0..8 {
            batches = batches.after(&size);
            bytes.push(batches.bytes().unwrap());
        }
        assert_eq!(bytes, [131_072, 16_384, 2_048, 1, 1, 1, 1, 1]);
        assert_eq!(batches.after(&other), batches);
        assert!(!batches.have_passed(6));
        assert!(batches.have_passed(7), "the record alone was to blame");
        assert!(!Batches::Full.after(&size).have_passed(7));
    }
}
