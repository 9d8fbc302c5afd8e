//! Where a server is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use url::Url;

const RULE: &str = "must be an address like https://example.org/path, without user name, password, query and fragment";

/// A setting that no client can be made of. Reads as a predicate: "must be an address like https://…".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SettingError(String);

impl SettingError {
    /// An error that says what is allowed.
    pub fn new(rule: impl Into<String>) -> Self {
        Self(rule.into())
    }
}

/// The address of a server: `http` or `https`, without user name and password, which would end up in logs. A path is kept,
/// as a prefix of those that are called.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServiceUrl(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    prefix: String,
    /// Whether the address itself has one behind its prefix.
    has_slash: bool,
}

impl FromStr for ServiceUrl {
    type Err = SettingError;

    fn from_str(raw: &str) -> Result<Self, SettingError> {
        let refused = || SettingError::new(RULE);
        let url = Url::parse(raw).map_err(|_| refused())?;
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(refused()),
        };
        let is_plain = url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain {
            return Err(refused());
        }
        let host_and_port = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let authority = Authority::try_from(host_and_port).map_err(|_| refused())?;
        let prefix = url.path().trim_end_matches('/').to_owned();
        let has_slash = !prefix.is_empty() && url.path().ends_with('/');
        Ok(Self(Arc::new(Parts {
            scheme,
            authority,
            prefix,
            has_slash,
        })))
    }
}

impl ServiceUrl {
    /// Host and port: the name of an instance in metrics and tables.
    pub(crate) fn authority(&self) -> &Authority {
        &self.0.authority
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme == Scheme::HTTPS
    }

    /// The address of a path behind it; of `/`, the address as it was given.
    pub(crate) fn at(&self, target: &Uri) -> Result<Uri, http::Error> {
        let Parts {
            prefix, has_slash, ..
        } = &*self.0;
        let target = target.path_and_query().map_or("/", PathAndQuery::as_str);
        let path = match target {
            "/" if !prefix.is_empty() && !has_slash => prefix.clone(),
            target => format!("{prefix}{target}"),
        };
        Uri::builder()
            .scheme(self.0.scheme.clone())
            .authority(self.0.authority.clone())
            .path_and_query(path)
            .build()
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            scheme,
            authority,
            prefix,
            ..
        } = &*self.0;
        write!(f, "{scheme}://{authority}{prefix}")
    }
}

impl fmt::Debug for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_http_ones() {
        for (raw, shown) in [
            ("http://127.0.0.1:9", "http://127.0.0.1:9"),
            ("http://[::1]:8081/", "http://[::1]:8081"),
            ("https://Pay.example.org/v1/", "https://pay.example.org/v1"),
            ("http://users:80", "http://users"),
        ] {
            assert_eq!(raw.parse::<ServiceUrl>().unwrap().to_string(), shown);
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
            assert!(raw.parse::<ServiceUrl>().is_err(), "{raw}");
        }
    }

    #[test]
    fn a_path_is_put_behind_the_prefix() {
        for (base, target, full) in [
            ("http://users", "/api?x=1", "http://users/api?x=1"),
            ("http://users/v1/", "/api", "http://users/v1/api"),
            ("http://hook.example/in", "/", "http://hook.example/in"),
            ("http://hook.example/in/", "/", "http://hook.example/in/"),
            ("http://hook.example", "/", "http://hook.example/"),
        ] {
            let base: ServiceUrl = base.parse().unwrap();
            assert_eq!(base.at(&target.parse().unwrap()).unwrap().to_string(), full);
        }
    }
}
