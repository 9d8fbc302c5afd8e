//! Mail over SMTP.
//!
//! A mail is the server's once it has answered the end of the body. Whatever goes wrong before the body leaves here is
//! harmless; after that the server may have taken it, unless it says itself that it did not.

mod address;
mod compose;
mod connection;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use lettre::message::Mailbox;
use secrecy::SecretString;
use tokio::time::timeout;

use super::{Channel, Message, SendError};
use address::ServerAddress;
use compose::Mail;
use connection::{Connections, Failure, Place};
use http_client::{CertificateAuthority, SettingError};

/// Of one mail, with connecting. Servers that look at mail while they take it are slower than those that queue it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Mails under way at once: half of them are handed over, on the few connections that a mail server allows, while the others
/// are written down or wait for a connection. A server that is silent keeps the last of them waiting for two deadlines of
/// half a minute, far less than an outcome is waited for.
const MAILS_AT_ONCE: usize = 8;

/// Where mail is handed over.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// `smtp://user:password@host:port`, `…?tls=required` (STARTTLS) or `smtps://…`; user and password percent-encoded.
    pub url: SecretString,
    /// The sender, as `Nakku <orders@example.org>`.
    pub from: String,
    /// Trusted besides the system's.
    pub authority: Option<CertificateAuthority>,
    /// Of one mail, with connecting, once there is room for a connection.
    pub deadline: Duration,
}

impl EmailSettings {
    /// A server with the deadline of production (30 s), trusting whom the system trusts.
    pub fn new(url: impl Into<SecretString>, from: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            from: from.into(),
            authority: None,
            deadline: DEADLINE,
        }
    }
}

/// Hands mail to an SMTP server, over at most four connections at once, which are used again.
#[derive(Debug)]
pub struct EmailChannel {
    connections: Connections,
    from: Mailbox,
    deadline: Duration,
}

impl EmailChannel {
    /// A client for the server; nothing is sent yet.
    ///
    /// # Errors
    /// When the address or the sender cannot be read, or the system has no certificates to trust.
    pub fn new(settings: &EmailSettings) -> Result<Self, SettingError> {
        let from: Mailbox = settings
            .from
            .parse()
            .map_err(|_| SettingError::new("must be a sender like Nakku <orders@example.org>"))?;
        let address = ServerAddress::parse(&settings.url)?;
        Ok(Self {
            connections: Connections::new(address, &from, settings.authority.as_ref())?,
            from,
            deadline: settings.deadline,
        })
    }

    async fn hand_over(
        &self,
        place: Place<'_>,
        mail: &Mail,
        body_begun: &AtomicBool,
    ) -> Result<(), Failure> {
        let mut connection = self.connections.get(place).await?;
        let result = connection.send(mail, body_begun).await;
        // After a refusal the server goes on; anything else leaves it in an unknown state.
        if result.as_ref().err().is_none_or(Failure::is_reply) {
            self.connections.put_back(connection);
        }
        result
    }
}

#[async_trait]
impl Channel for EmailChannel {
    fn name(&self) -> &'static str {
        "email"
    }

    fn at_once(&self) -> usize {
        MAILS_AT_ONCE
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        message.check()?;
        let Some(email) = &message.recipient.email else {
            return Err(SendError::Refused(
                "the user has no e-mail address".to_owned(),
            ));
        };
        let mail = Mail::compose(&self.from, email, message)?;
        let body_begun = AtomicBool::new(false);
        // Not part of the deadline: that others are slow is not this mail's failure. It ends, since theirs do.
        let place = self.connections.place().await;
        match timeout(self.deadline, self.hand_over(place, &mail, &body_begun)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) => Err(failure.into_send_error()),
            Err(_) => {
                let late = format!("the mail server did not answer within {:?}", self.deadline);
                Err(if body_begun.load(Ordering::Relaxed) {
                    SendError::Unknown(late)
                } else {
                    SendError::NotSent(late)
                })
            }
        }
    }
}
