//! A line in the log of this process, for those who collect logs.

use async_trait::async_trait;

use super::{Channel, Message, SendError};

/// Lines under way at once. A line is written as soon as its attempt is in the log: what takes time are the two appends, which
/// many of them share.
const LINES_AT_ONCE: usize = 64;

/// Writes one structured line a message: what happened and to whom, by ids; nothing that says who somebody is.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogChannel;

#[async_trait]
impl Channel for LogChannel {
    fn name(&self) -> &'static str {
        "log"
    }

    fn at_once(&self) -> usize {
        LINES_AT_ONCE
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        message.check()?;
        tracing::info!(
            notification_id = message.id,
            user_id = %message.recipient.user_id,
            event_type = message.event_type,
            "notification"
        );
        Ok(())
    }
}
