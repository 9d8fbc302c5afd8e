//! The code of a problem, read from an answer that is handed on whole all the same.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use serde::Deserialize;

use crate::body::{self, Body, BoxError, Pieces};

/// RFC 9457.
const PROBLEM_JSON: &str = "application/problem+json";
/// A problem is a few words; what is longer is not read for its code.
const PROBLEM_BYTES_MAX: usize = 16 * 1024;

#[derive(Deserialize)]
struct Problem {
    code: Option<String>,
}

/// Whether an answer is a problem.
pub(crate) fn is_problem(headers: &HeaderMap) -> bool {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(PROBLEM_JSON))
}

/// The code of the problem in the body, and the body as it was.
pub(crate) async fn code_of(mut body: Body) -> Result<(Option<String>, Body), BoxError> {
    let mut pieces: VecDeque<Bytes> = VecDeque::new();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        bytes += data.len();
        pieces.push_back(data);
        if bytes > PROBLEM_BYTES_MAX {
            let (first, rest) = (pieces, body);
            return Ok((None, body::stream(Pieces { first, rest })));
        }
    }
    let mut whole = BytesMut::with_capacity(bytes);
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    let whole = whole.freeze();
    let problem: Option<Problem> = serde_json::from_slice(&whole).ok();
    Ok((problem.and_then(|problem| problem.code), body::full(whole)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_answer_is_whole_after_its_code_was_read() {
        let long = format!("{{\"code\":\"{}\"}}", "x".repeat(PROBLEM_BYTES_MAX));
        for (text, code) in [
            (
                "{\"code\":\"command-in-flight\",\"status\":409}",
                Some("command-in-flight"),
            ),
            ("{\"code\":7}", None),
            ("no JSON", None),
            ("", None),
            (long.as_str(), None),
        ] {
            let (read, body) = code_of(body::full(text.to_owned())).await.unwrap();
            assert_eq!(read.as_deref(), code);
            let whole = body::read_capped(body, 2 * PROBLEM_BYTES_MAX)
                .await
                .unwrap();
            assert_eq!(whole, text);
        }
    }

    #[test]
    fn a_problem_is_told_by_its_media_type() {
        for (value, expected) in [
            ("application/problem+json", true),
            ("Application/Problem+JSON; charset=utf-8", true),
            ("application/json", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_problem(&headers), expected, "{value}");
        }
        assert!(!is_problem(&HeaderMap::new()));
    }
}
