//! What is repeated.
//!
//! | what came of an attempt | safe | keyed | never |
//! |---|---|---|---|
//! | certainly not sent: no connection | repeated | repeated | repeated |
//! | a kept connection broke: most likely it was being closed for being idle | repeated | repeated | |
//! | the connection broke, or the attempt's time passed | repeated | repeated | |
//! | 502, 504 | repeated | repeated | |
//! | 503 `projection-behind`, 429 | | | |
//! | 503 `outcome-unknown` | | repeated | |
//! | 503 of any other kind | repeated | repeated | |
//! | 409 `command-in-flight` | | waited for | |
//! | all else | | | |
//!
//! Only the first of our hops repeats what may have arrived. The head of an answer that was passed on is final.

use http::StatusCode;

/// The original of a keyed command is being carried out.
pub(crate) const COMMAND_IN_FLIGHT: &str = "command-in-flight";
/// Of a connection that was kept for too long.
pub(crate) const STALE: &str = "stale";
/// An answer: nothing is wrong with the instance, and another one is not necessarily farther.
const PROJECTION_BEHIND: &str = "projection-behind";
/// Repeating a keyed command tells its outcome. A read has none.
const OUTCOME_UNKNOWN: &str = "outcome-unknown";

/// Whether a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It changes nothing.
    Safe,
    /// A command with an `Idempotency-Key`: it happens once, however often it arrives.
    Keyed,
    /// Only where it was certainly not sent.
    Never,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came<'a> {
    /// No connection: it was not sent.
    NotSent,
    /// A connection that had answered before broke, before the head of an answer.
    Stale,
    /// A new connection broke, before the head of an answer.
    Broken,
    /// The attempt's time passed after it may have been sent.
    TimedOut,
    /// A status, with its problem's code.
    Answer(StatusCode, Option<&'a str>),
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is the call's answer, or error.
    PassOn,
    /// Another attempt; the reason is a label.
    Repeat(&'static str),
    /// The original is under way: asked again until it has ended.
    Wait,
}

impl Retry {
    /// The table above.
    pub(crate) fn next(self, hops: u32, came: Came<'_>) -> Next {
        if came == Came::NotSent {
            return Next::Repeat("connect");
        }
        if self == Retry::Never || hops > 0 {
            return Next::PassOn;
        }
        match came {
            Came::NotSent => Next::Repeat("connect"),
            Came::Stale => Next::Repeat(STALE),
            Came::Broken => Next::Repeat("reset"),
            Came::TimedOut => Next::Repeat("timeout"),
            Came::Answer(status, code) => self.after_answer(status, code),
        }
    }

    /// Whether the code of the problem with this status matters to [`Self::next`].
    pub(crate) fn reads_code_of(self, hops: u32, status: StatusCode) -> bool {
        match self {
            Retry::Never => false,
            _ if hops > 0 => false,
            Retry::Safe => status == StatusCode::SERVICE_UNAVAILABLE,
            Retry::Keyed => {
                matches!(
                    status,
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT
                )
            }
        }
    }

    fn after_answer(self, status: StatusCode, code: Option<&str>) -> Next {
        match (status, code) {
            (StatusCode::BAD_GATEWAY, _) => Next::Repeat("502"),
            (StatusCode::GATEWAY_TIMEOUT, _) => Next::Repeat("504"),
            (StatusCode::SERVICE_UNAVAILABLE, Some(PROJECTION_BEHIND)) => Next::PassOn,
            (StatusCode::SERVICE_UNAVAILABLE, Some(OUTCOME_UNKNOWN)) if self == Retry::Safe => {
                Next::PassOn
            }
            (StatusCode::SERVICE_UNAVAILABLE, _) => Next::Repeat("503"),
            (StatusCode::CONFLICT, Some(COMMAND_IN_FLIGHT)) if self == Retry::Keyed => Next::Wait,
            _ => Next::PassOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_what_is_done() {
        use Next::{PassOn, Repeat, Wait};
        let answer = |status, code| Came::Answer(StatusCode::from_u16(status).unwrap(), code);
        for (came, safe, keyed, never) in [
            (
                Came::NotSent,
                Repeat("connect"),
                Repeat("connect"),
                Repeat("connect"),
            ),
            (Came::Stale, Repeat(STALE), Repeat(STALE), PassOn),
            (Came::Broken, Repeat("reset"), Repeat("reset"), PassOn),
            (Came::TimedOut, Repeat("timeout"), Repeat("timeout"), PassOn),
            (answer(502, None), Repeat("502"), Repeat("502"), PassOn),
            (answer(504, None), Repeat("504"), Repeat("504"), PassOn),
            (answer(503, None), Repeat("503"), Repeat("503"), PassOn),
            (
                answer(503, Some("overloaded")),
                Repeat("503"),
                Repeat("503"),
                PassOn,
            ),
            (
                answer(503, Some("projection-behind")),
                PassOn,
                PassOn,
                PassOn,
            ),
            (
                answer(503, Some("outcome-unknown")),
                PassOn,
                Repeat("503"),
                PassOn,
            ),
            (answer(409, Some("command-in-flight")), PassOn, Wait, PassOn),
            (answer(409, Some("sku-taken")), PassOn, PassOn, PassOn),
            (answer(429, None), PassOn, PassOn, PassOn),
            (answer(500, None), PassOn, PassOn, PassOn),
            (answer(404, None), PassOn, PassOn, PassOn),
            (answer(200, None), PassOn, PassOn, PassOn),
        ] {
            assert_eq!(Retry::Safe.next(0, came), safe, "safe {came:?}");
            assert_eq!(Retry::Keyed.next(0, came), keyed, "keyed {came:?}");
            assert_eq!(Retry::Never.next(0, came), never, "never {came:?}");
            // Behind the first hop only what was not sent is repeated.
            let behind = if came == Came::NotSent { safe } else { PassOn };
            assert_eq!(Retry::Keyed.next(1, came), behind, "behind {came:?}");
        }
    }
}
