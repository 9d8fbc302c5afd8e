//! Which mail server, and how to talk to it, from its URL.

use std::fmt;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use http_client::SettingError;

const RULE: &str = "must be an address like smtps://user:password@mail.example.org, smtp://mail.example.org?tls=required or smtp://localhost:1025";

/// What protects the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protection {
    /// Nothing: for a server on this machine or in a private network.
    None,
    /// STARTTLS, or nothing is sent.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A mail server.
#[derive(Clone)]
pub(super) struct ServerAddress {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) protection: Protection,
    pub(super) credentials: Option<Credentials>,
}

impl ServerAddress {
    /// Reads `smtp://`, `smtp://…?tls=required` and `smtps://`. Ports: 25, 587 and 465.
    pub(super) fn parse(raw: &SecretString) -> Result<Self, SettingError> {
        let url = Url::parse(raw.expose_secret()).map_err(|_| SettingError::new(RULE))?;
        let (protection, port) = match (url.scheme(), url.query()) {
            ("smtp", None) => (Protection::None, SMTP_PORT),
            ("smtp", Some("tls=required")) => (Protection::StartTls, SUBMISSION_PORT),
            ("smtps", None) => (Protection::Tls, SUBMISSIONS_PORT),
            _ => return Err(SettingError::new(RULE)),
        };
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() || !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(SettingError::new(RULE));
        }
        let address = Self {
            // An IPv6 address is in brackets in a URL, and nowhere else.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(port),
            protection,
            credentials: credentials(&url)?,
        };
        if protection == Protection::None && address.credentials.is_some() && !address.is_local() {
            tracing::warn!(
                host = address.host,
                "the mail server's password goes over the network in plain text: add ?tls=required to its address"
            );
        }
        Ok(address)
    }

    fn is_local(&self) -> bool {
        matches!(self.host.as_str(), "localhost" | "::1") || self.host.starts_with("127.")
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} {:?}", self.host, self.port, self.protection)
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, SettingError> {
    let plain = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(String::from)
            .map_err(|_| SettingError::new(RULE))
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) if !user.is_empty() => {
            Ok(Some(Credentials::new(plain(user)?, plain(password)?)))
        }
        _ => Err(SettingError::new(RULE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(raw: &str) -> Result<ServerAddress, SettingError> {
        ServerAddress::parse(&raw.into())
    }

    #[test]
    fn an_address_says_how_to_connect() {
        for (raw, host, port, protection) in [
            ("smtp://localhost", "localhost", 25, Protection::None),
            (
                "smtp://127.0.0.1:1025/",
                "127.0.0.1",
                1025,
                Protection::None,
            ),
            (
                "smtp://mail.example.org?tls=required",
                "mail.example.org",
                587,
                Protection::StartTls,
            ),
            (
                "smtps://mail.example.org",
                "mail.example.org",
                465,
                Protection::Tls,
            ),
            ("smtps://[::1]:4650", "::1", 4650, Protection::Tls),
        ] {
            let address = address(raw).unwrap();
            assert_eq!(
                (address.host.as_str(), address.port, address.protection),
                (host, port, protection),
                "{raw}"
            );
            assert!(address.credentials.is_none());
        }
    }

    #[test]
    fn user_and_password_are_percent_decoded_and_not_shown() {
        let address = address("smtps://ada%40example.org:s%3Acret@mail.example.org").unwrap();
        let expected = Credentials::new("ada@example.org".into(), "s:cret".into());
        assert_eq!(address.credentials, Some(expected));
        assert_eq!(format!("{address:?}"), "mail.example.org:465 Tls");
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for raw in [
            "",
            "mail.example.org",
            "http://mail.example.org",
            "smtp://",
            "smtp://mail.example.org?tls=maybe",
            "smtp://mail.example.org?tls=required&x=1",
            "smtps://mail.example.org?tls=required",
            "smtp://mail.example.org/path",
            "smtp://secret@mail.example.org",
            "smtp://:secret@mail.example.org",
        ] {
            let error = address(raw).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{raw}: {error}");
        }
    }
}
