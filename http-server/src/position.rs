//! Read your writes: the position of a command's effect, and a query's wish to see it.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};

use crate::arrival::Arrival;
use crate::headers::{self, MIN_POSITION};
use crate::problem::Problem;

/// The log that a token without a name means.
pub const MAIN_LOG: &str = "main";
/// How long a query waits for its read model if it does not say.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(2);
/// How long a query may ask to wait: no longer than its time-out.
pub const WAIT_MAX: Duration = Duration::from_secs(10);
/// Tokens in one header: there are far fewer logs.
const TOKENS_MAX: usize = 16;
/// Bytes of a log's name.
const LOG_NAME_BYTES_MAX: usize = 40;

/// A position in a log: `4711` on the log `main`, `orders:4711` on another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PositionToken {
    pub log: String,
    pub position: i64,
}

/// A text that is no position token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a position: a number, or a log's name, a colon and a number")]
pub struct InvalidPosition(String);

impl PositionToken {
    /// A position on the log `main`.
    #[must_use]
    pub fn main(position: i64) -> Self {
        PositionToken {
            log: MAIN_LOG.to_owned(),
            position,
        }
    }

    /// As the value of `Nakku-Position`.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.to_string())
            .unwrap_or_else(|_| HeaderValue::from(self.position))
    }
}

impl fmt::Display for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.log == MAIN_LOG {
            write!(f, "{}", self.position)
        } else {
            write!(f, "{}:{}", self.log, self.position)
        }
    }
}

impl FromStr for PositionToken {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let invalid = || InvalidPosition(text.chars().take(LOG_NAME_BYTES_MAX).collect());
        let (log, digits) = text.split_once(':').unwrap_or((MAIN_LOG, text));
        let name = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let named = !log.is_empty() && log.len() <= LOG_NAME_BYTES_MAX && log.bytes().all(name);
        if !named || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let position = digits.parse().map_err(|_| invalid())?;
        Ok(PositionToken {
            log: log.to_owned(),
            position,
        })
    }
}

/// What a query wants its read model to have seen, and until when it waits for that.
///
/// From `Nakku-Min-Position` (400 if malformed) and `Prefer: wait=N`.
#[derive(Debug, Clone)]
pub struct MinPosition {
    tokens: Vec<PositionToken>,
    /// Afterwards: `projection-behind`.
    pub deadline: Instant,
}

impl MinPosition {
    /// The position wanted on a log; `None` if any will do.
    #[must_use]
    pub fn on(&self, log: &str) -> Option<i64> {
        self.tokens
            .iter()
            .filter(|token| token.log == log)
            .map(|token| token.position)
            .max()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let patience = Arrival::of(&parts.extensions)?.patience;
        let wait = patience.wait().unwrap_or(WAIT_DEFAULT).min(WAIT_MAX);
        Ok(MinPosition {
            tokens: tokens(&parts.headers)?,
            deadline: patience.query_deadline(wait),
        })
    }
}

fn tokens(headers: &HeaderMap) -> Result<Vec<PositionToken>, Problem> {
    let Some(value) = headers::single(headers, &MIN_POSITION)? else {
        return Ok(Vec::new());
    };
    let tokens: Vec<PositionToken> = value
        .split(',')
        .take(TOKENS_MAX + 1)
        .map(|token| token.trim().parse())
        .collect::<Result<_, InvalidPosition>>()
        .map_err(|error| Problem::bad_request(format!("header {MIN_POSITION}: {error}")))?;
    if tokens.len() > TOKENS_MAX {
        return Err(Problem::bad_request(format!(
            "header {MIN_POSITION} has more than {TOKENS_MAX} positions"
        )));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_as_they_are_written() {
        for text in ["4711", "orders:4711", "0"] {
            let token: PositionToken = text.parse().unwrap();
            assert_eq!(token.to_string(), text);
            assert_eq!(token.header_value(), text);
        }
        assert_eq!("main:7".parse(), Ok(PositionToken::main(7)));
        for wrong in [
            "",
            ":1",
            "a:",
            "a:b",
            "-1",
            "+1",
            "1:2:3",
            "A:1",
            "99999999999999999999",
        ] {
            assert!(wrong.parse::<PositionToken>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn several_positions_come_by_comma_and_the_highest_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(MIN_POSITION, "7, orders:3,9".parse().unwrap());
        let wanted = MinPosition {
            tokens: tokens(&headers).unwrap(),
            deadline: Instant::now(),
        };
        assert_eq!(wanted.on(MAIN_LOG), Some(9));
        assert_eq!(wanted.on("orders"), Some(3));
        assert_eq!(wanted.on("payments"), None);

        headers.insert(MIN_POSITION, "7,,8".parse().unwrap());
        assert!(tokens(&headers).is_err());
        headers.insert(MIN_POSITION, vec!["1"; 17].join(",").parse().unwrap());
        assert!(tokens(&headers).is_err());
    }
}
