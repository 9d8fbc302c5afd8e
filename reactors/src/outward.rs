//! What every client of a foreign server here shares: which addresses it takes, whom it trusts, and how errors read.

use std::time::Duration;

use reqwest::{Certificate, Client, Url, redirect};

/// A server that does not even take the connection within this time is down: the rest of a deadline is for its answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);
/// Connections kept open between calls to one server. More calls at once open more, and close them afterwards.
const IDLE_CONNECTIONS_MAX: usize = 16;
/// Shorter than servers and load balancers keep an idle connection: one that is being closed is not drawn.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// An error's chain of causes is kept as text, in events too: cut there.
const REASON_CHARS_MAX: usize = 300;

/// A setting that no client can be made of. Reads as a predicate: "must be an address like https://…".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    pub(crate) fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}

/// Certificates (PEM, one or several) that are trusted besides the system's: of a company's own authority.
#[derive(Debug, Clone)]
pub struct CertificateAuthority(Vec<u8>);

impl CertificateAuthority {
    /// Certificates in PEM.
    ///
    /// # Errors
    /// When there is none in it, or one is damaged.
    pub fn new(pem: impl Into<Vec<u8>>) -> Result<Self, SettingError> {
        let pem = pem.into();
        match Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(pem)),
            Ok(_) | Err(_) => Err(SettingError::new("must hold certificates in PEM")),
        }
    }

    /// The certificates as they were given.
    pub(crate) fn pem(&self) -> &[u8] {
        &self.0
    }
}

/// An address of a foreign HTTP server: `http` or `https`, without a password in it, which would end up in logs.
pub(crate) fn http_url(raw: &str) -> Result<Url, SettingError> {
    let rule = "must be an address like https://example.org/path, without user name, password, query and fragment";
    let url = Url::parse(raw).map_err(|_| SettingError::new(rule))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain {
        Ok(url)
    } else {
        Err(SettingError::new(rule))
    }
}

/// What becomes of a connection after its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// Kept for the next call: for calls that may be repeated, since a server may just be closing it.
    Kept,
    /// Closed. A call over a connection that the server has closed meanwhile fails without a word on whether it arrived; for
    /// calls that must not be repeated that would be a loss.
    Closed,
}

/// A client for `url`: no redirects (a signed or charging request goes where the operator said), no proxy of the
/// environment, bounded idle connections.
pub(crate) fn http_client(
    url: &Url,
    authority: Option<&CertificateAuthority>,
    afterwards: Afterwards,
) -> Result<Client, SettingError> {
    let idle_connections_max = match afterwards {
        Afterwards::Kept => IDLE_CONNECTIONS_MAX,
        Afterwards::Closed => 0,
    };
    let builder = Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_DEADLINE)
        .pool_max_idle_per_host(idle_connections_max)
        .pool_idle_timeout(IDLE_MAX)
        .user_agent(concat!("nakku/", env!("CARGO_PKG_VERSION")));
    let builder = if url.scheme() == "http" {
        // No TLS will be spoken: the client must not fail where the system has no certificates.
        builder.tls_certs_only([])
    } else {
        let extra = match authority {
            Some(authority) => Certificate::from_pem_bundle(authority.pem())
                .map_err(|_| SettingError::new("must hold certificates in PEM"))?,
            None => Vec::new(),
        };
        builder.tls_certs_merge(extra)
    };
    builder
        .build()
        .map_err(|error| SettingError::new(format!("cannot be used: {}", causes(&error))))
}

/// An HTTP error without the address, which the operator knows and others need not.
pub(crate) fn http_error(error: reqwest::Error) -> String {
    causes(&error.without_url())
}

/// An error with its causes, in one line of bounded length.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    line(&text)
}

/// Foreign text as one line of bounded length, fit for events and logs.
pub(crate) fn line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_http_ones() {
        for raw in ["http://127.0.0.1:9", "https://pay.example.org/v1"] {
            assert_eq!(http_url(raw).unwrap().as_str().trim_end_matches('/'), raw);
        }
        for raw in [
            "",
            "pay.example.org",
            "ftp://pay.example.org",
            "https://ada:secret@pay.example.org",
            "https://pay.example.org/?key=secret",
            "https://pay.example.org/#top",
            "file:///etc/passwd",
        ] {
            assert!(http_url(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(line(" card\r\n\tdeclined \u{7} "), "card declined");
        assert_eq!(line(&"ä".repeat(301)).chars().count(), 301);
        assert!(line(&"ä".repeat(301)).ends_with('…'));
    }

    #[test]
    fn an_authority_is_pem() {
        for pem in [
            "",
            "not a certificate",
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
        ] {
            assert!(CertificateAuthority::new(pem).is_err(), "{pem}");
        }
    }
}
