//! The ways to a user, and what each makes of a failure: a message is sent at most once, so a channel says not only that
//! it failed, but whether the message may be on its way.

mod email;
mod log;
mod message;
mod webhook;

use async_trait::async_trait;

pub use email::{EmailChannel, EmailSettings};
pub use log::LogChannel;
pub use message::{Message, Recipient};
pub use webhook::{WebhookChannel, WebhookSecret, WebhookSettings};

/// Messages under way through one channel at once, unless it says otherwise: what is slow is not asked for much.
pub(crate) const AT_ONCE: usize = 8;

/// A way to a user.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// As users name it in their preferences: `email`, `webhook`, `log`.
    fn name(&self) -> &'static str;

    /// Messages under way through it at once, from being written down to their outcome.
    fn at_once(&self) -> usize {
        AT_ONCE
    }

    /// Sends it, within a deadline of the channel's own once it has room for it.
    ///
    /// # Errors
    /// [`SendError`], which says whether it may be sent again.
    async fn send(&self, message: &Message) -> Result<(), SendError>;
}

/// Why a message was not seen to arrive. The texts hold no personal data: they are kept in events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Certainly not delivered, and sending it again would end the same.
    #[error("refused: {0}")]
    Refused(String),
    /// Certainly not delivered; it may be sent again later.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It may have been delivered: sending it again could deliver it twice.
    #[error("may have been sent: {0}")]
    Unknown(String),
}
