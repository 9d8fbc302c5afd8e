//! A mail server in another process.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::Server;

/// A mail server (aiosmtpd). What it says to a recipient is asked for by the part before the `@`: the table is at the head
/// of `testing/python/mail_server.py`. Dropping it kills it.
#[derive(Debug)]
pub struct MailServer {
    server: Server,
}

/// What it wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Nothing.
    None,
    /// STARTTLS before anything else.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A mail that it took, as Python's own parser reads it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mail {
    /// `MAIL FROM`.
    pub envelope_from: String,
    /// `RCPT TO`.
    pub envelope_to: Vec<String>,
    /// Names and decoded values, in order.
    pub headers: Vec<(String, String)>,
    /// What the parser has to say against it.
    pub defects: Vec<String>,
    /// The decoded body.
    pub text: String,
    /// Whether it was ASCII on the wire.
    pub ascii: bool,
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// Who had logged in.
    pub user: Option<String>,
    /// `EHLO`.
    pub greeting: String,
    /// The client's port: mails with the same one came over one connection.
    pub peer: u16,
}

impl Mail {
    /// All values of a header, decoded.
    pub fn header(&self, name: &str) -> Vec<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        let values = self.headers.iter().filter(named);
        values.map(|(_, value)| value.as_str()).collect()
    }
}

impl MailServer {
    /// Starts one with its files in `dir`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(dir: &Path, protection: Protection) -> Self {
        Self::with_login(dir, protection, None)
    }

    /// One that takes mail of those only who log in with this user and password.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn with_login(dir: &Path, protection: Protection, login: Option<(&str, &str)>) -> Self {
        let (user, password) = login.unzip();
        let protection = match protection {
            Protection::None => "none",
            Protection::StartTls => "starttls",
            Protection::Tls => "tls",
        };
        let settings = json!({"protection": protection, "user": user, "password": password});
        Self {
            server: Server::start("mail_server.py", dir, settings),
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// The certificate (PEM) to trust.
    ///
    /// # Panics
    /// When it does not speak TLS.
    pub fn authority(&self) -> Vec<u8> {
        self.server.authority()
    }

    /// All mails that it ever took, in order.
    ///
    /// # Panics
    /// When its file is damaged.
    pub fn mails(&self) -> Vec<Mail> {
        self.server.lines("mails.jsonl")
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again after [`MailServer::kill`], at the same port.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn restart(&mut self) {
        self.server.restart();
    }
}
