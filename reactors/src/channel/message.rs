//! What is sent, whatever the way.

use chrono::{DateTime, Utc};
use domain::{Email, UserId};
use serde_json::Value;

use super::SendError;

/// It becomes a header of a mail and of a request, and part of what is signed.
const ID_LENGTH_MAX: usize = 200;
/// What fits a mail's header in a few lines and a list of mails in one.
const SUBJECT_CHARS_MAX: usize = 200;
/// A notification is a few lines of text; more is a mistake of whoever composed it.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One message to one user.
#[derive(Debug, Clone)]
pub struct Message {
    /// Stable over attempts, 1 to 200 of `A-Z a-z 0-9 _ : -`: recipients tell copies by it. As `<event id>:email`.
    pub id: String,
    /// To whom.
    pub recipient: Recipient,
    /// One line, 1 to 200 characters.
    pub subject: String,
    /// Plain text, at most 64 KiB.
    pub body: String,
    /// Of the event that it tells of, as `order.completed`.
    pub event_type: String,
    /// When that happened.
    pub occurred_at: DateTime<Utc>,
    /// What programs are told: ids and facts of the event.
    pub data: Value,
}

/// A user as the channels know it.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// Who.
    pub user_id: UserId,
    /// Where mail goes; none once it is erased.
    pub email: Option<Email>,
}

impl Message {
    /// Refuses what no channel may send on. The id must not hold a full stop: it separates what a web hook signs.
    pub(super) fn check(&self) -> Result<(), SendError> {
        let refused = |what: &str| Err(SendError::Refused(what.to_owned()));
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_:-".contains(&b);
        if !(1..=ID_LENGTH_MAX).contains(&self.id.len()) || !self.id.bytes().all(allowed) {
            return refused("the message's id is not 1 to 200 of A-Z, a-z, 0-9, '_', ':' and '-'");
        }
        if !(1..=SUBJECT_CHARS_MAX).contains(&self.subject.chars().count())
            || self.subject.chars().any(char::is_control)
        {
            return refused("the subject is not one line of 1 to 200 characters");
        }
        if self.body.len() > BODY_BYTES_MAX {
            return refused("the body is longer than 64 KiB");
        }
        Ok(())
    }
}
