//! Conversations with the mail server, one step at a time: what a failure means depends on the step.

use std::error::Error as _;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_client::{CertificateAuthority, SettingError, causes};
use lettre::message::Mailbox;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::address::{Protection, ServerAddress};
use super::compose::Mail;
use crate::channel::SendError;

/// Mail servers count connections of one client and turn away those who open many.
const CONNECTIONS_MAX: usize = 4;
/// Shorter than servers keep a silent client (RFC 5321 asks for five minutes, many take one).
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Of the connection alone, so that one dead address of several leaves time for the next.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A server that takes longer to say that it is still there is left alone; a new connection is quicker.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// The connections to one server.
pub(super) struct Connections {
    address: ServerAddress,
    tls: Option<TlsParameters>,
    hello_name: ClientId,
    at_once: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
}

/// Room for one connection, until it is dropped.
pub(super) type Place<'a> = SemaphorePermit<'a>;

/// A connection in use. Dropping it closes it.
pub(super) struct Connection<'a> {
    connection: AsyncSmtpConnection,
    place: Place<'a>,
}

impl Connections {
    pub(super) fn new(
        address: ServerAddress,
        from: &Mailbox,
        authority: Option<&CertificateAuthority>,
    ) -> Result<Self, SettingError> {
        let tls = match address.protection {
            Protection::None => None,
            Protection::StartTls | Protection::Tls => Some(tls(&address.host, authority)?),
        };
        Ok(Self {
            address,
            tls,
            // The sender's domain stands for this program; the machine's own name is often no name at all.
            hello_name: ClientId::Domain(from.email.domain().to_owned()),
            at_once: Semaphore::new(CONNECTIONS_MAX),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Waits for room for one more.
    pub(super) async fn place(&self) -> Place<'_> {
        self.at_once.acquire().await.expect("never closed")
    }

    /// One that is open, or a new one, logged in.
    pub(super) async fn get<'a>(&'a self, place: Place<'a>) -> Result<Connection<'a>, Failure> {
        while let Some(idle) = self.last_idle() {
            let mut connection = idle.connection;
            // The server may have closed it meanwhile: asking is cheaper than a mail whose fate is unknown. What it is asked
            // also ends what was left of a mail that it had refused.
            let reset = async { connection.command(Rset).await.is_ok() };
            if idle.since.elapsed() < IDLE_MAX && answers(reset).await {
                return Ok(Connection { connection, place });
            }
        }
        let connection = self.connect().await.map_err(Failure::before_the_mail)?;
        Ok(Connection { connection, place })
    }

    pub(super) fn put_back(&self, connection: Connection<'_>) {
        let Connection { connection, place } = connection;
        self.lock().push(Idle {
            connection,
            since: Instant::now(),
        });
        drop(place);
    }

    fn last_idle(&self) -> Option<Idle> {
        self.lock().pop()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let address = &self.address;
        let from_the_start = match address.protection {
            Protection::Tls => self.tls.clone(),
            Protection::None | Protection::StartTls => None,
        };
        let mut connection = AsyncSmtpConnection::connect_tokio1(
            (address.host.as_str(), address.port),
            Some(CONNECT_DEADLINE),
            &self.hello_name,
            from_the_start,
            None,
        )
        .await?;
        if let (Protection::StartTls, Some(tls)) = (address.protection, &self.tls) {
            connection.starttls(tls.clone(), &self.hello_name).await?;
        }
        if let Some(credentials) = &address.credentials {
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], credentials)
                .await?;
        }
        Ok(connection)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.address).finish()
    }
}

impl Connection<'_> {
    /// Hands it over; sets `body_begun` right before the body leaves, also for who drops this future.
    pub(super) async fn send(
        &mut self,
        mail: &Mail,
        body_begun: &AtomicBool,
    ) -> Result<(), Failure> {
        let connection = &mut self.connection;
        connection
            .command(MailFrom::new(Some(mail.from.clone()), Vec::new()))
            .await
            .map_err(Failure::before_the_body)?;
        connection
            .command(Rcpt::new(mail.to.clone(), Vec::new()))
            .await
            .map_err(Failure::before_the_body)?;
        connection
            .command(Data)
            .await
            .map_err(Failure::before_the_body)?;
        body_begun.store(true, Ordering::Relaxed);
        connection
            .message(&mail.content)
            .await
            .map_err(Failure::of_the_body)?;
        Ok(())
    }
}

async fn answers(probe: impl Future<Output = bool>) -> bool {
    timeout(PROBE_DEADLINE, probe).await.unwrap_or(false)
}

/// What went wrong, and at which step.
#[derive(Debug)]
pub(super) struct Failure {
    step: Step,
    error: Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Envelope,
    Body,
}

impl Failure {
    fn before_the_mail(error: Error) -> Self {
        Self {
            step: Step::Greeting,
            error,
        }
    }

    fn before_the_body(error: Error) -> Self {
        Self {
            step: Step::Envelope,
            error,
        }
    }

    fn of_the_body(error: Error) -> Self {
        Self {
            step: Step::Body,
            error,
        }
    }

    /// Whether the server answered, with a refusal.
    pub(super) fn is_reply(&self) -> bool {
        self.error.status().is_some()
    }

    /// What it means for the mail.
    pub(super) fn into_send_error(self) -> SendError {
        match self.step {
            // Neither the user nor the message is refused, but this program: an operator can mend that.
            Step::Greeting => SendError::NotSent(causes(&self.error)),
            Step::Envelope | Step::Body if self.error.is_permanent() => {
                SendError::Refused(self.text())
            }
            Step::Body if !self.is_reply() => SendError::Unknown(self.text()),
            Step::Envelope | Step::Body => SendError::NotSent(self.text()),
        }
    }

    /// Of an answer to a mail the codes alone: in their words servers repeat addresses, in one form or another.
    fn text(&self) -> String {
        let Some(code) = self.error.status() else {
            return causes(&self.error);
        };
        let words = self.error.source().map(ToString::to_string);
        match words.as_deref().and_then(enhanced_code) {
            Some(enhanced) => format!("the mail server answered {code} {enhanced}"),
            None => format!("the mail server answered {code}"),
        }
    }
}

fn tls(
    host: &str,
    authority: Option<&CertificateAuthority>,
) -> Result<TlsParameters, SettingError> {
    let unusable = |error: Error| SettingError::new(format!("cannot be used: {}", causes(&error)));
    let mut builder = TlsParametersBuilder::new(host.to_owned());
    for certificate in authority.into_iter().flat_map(CertificateAuthority::der) {
        let certificate = Certificate::from_der(certificate.to_vec()).map_err(unusable)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(unusable)
}

/// The code of RFC 3463 that an answer begins with, as `5.1.1` (unknown mailbox), where there is one.
fn enhanced_code(words: &str) -> Option<&str> {
    let first = words.split_whitespace().next()?;
    let mut parts = first.split('.');
    let class = parts.next()?;
    let is_number = |part: &str| {
        (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_code = matches!(class, "4" | "5")
        && parts.next().is_some_and(is_number)
        && parts.next().is_some_and(is_number)
        && parts.next().is_none();
    is_code.then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_only_codes_are_kept() {
        assert_eq!(enhanced_code("5.1.1 <ada@example.org>"), Some("5.1.1"));
        assert_eq!(enhanced_code("4.7.500 later"), Some("4.7.500"));
        for words in [
            "",
            "ada",
            "ada@example.org",
            "5.1",
            "5.1.1.1 x",
            "5.1.ada",
            "2.0.0 ok",
        ] {
            assert_eq!(enhanced_code(words), None, "{words}");
        }
    }
}
