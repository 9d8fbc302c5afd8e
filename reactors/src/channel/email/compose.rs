//! A message as a mail: headers and text, encoded.

use domain::Email;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::{Address, Message as Letter};

use crate::channel::{Message, SendError};

/// A mail as it is handed over: ASCII only, so any server takes it.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) from: Address,
    pub(super) to: Address,
    pub(super) content: Vec<u8>,
}

impl Mail {
    /// The subject and every header is encoded by the library, the message's own check lets no line break near them.
    pub(super) fn compose(
        from: &Mailbox,
        to: &Email,
        message: &Message,
    ) -> Result<Self, SendError> {
        let refused = |what: &str| SendError::Refused(what.to_owned());
        let to: Address = to
            .as_str()
            .parse()
            .map_err(|_| refused("mail cannot be addressed to the user's e-mail address"))?;
        let letter = Letter::builder()
            .from(from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(message.subject.as_str())
            .message_id(Some(message_id(&message.id, from)))
            .date_now()
            // Out-of-office replies are not sent to programs (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .header(ContentType::TEXT_PLAIN)
            .body(message.body.clone())
            .map_err(|_| refused("the message cannot be written as a mail"))?;
        Ok(Self {
            from: from.email.clone(),
            to,
            content: letter.formatted(),
        })
    }
}

/// `<id@domain of the sender>`: the same in every attempt, so that mailboxes tell copies. A colon is not allowed there.
fn message_id(id: &str, from: &Mailbox) -> String {
    format!("<{}@{}>", id.replace(':', "."), from.email.domain())
}
