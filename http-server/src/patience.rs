//! The time of a request: the edge's limit, shortened by what is left of the caller's own time.

use std::time::{Duration, Instant};

use axum::http::HeaderMap;

use crate::context::prefer_wait;
use crate::headers::{self, TIMEOUT_MS};
use crate::problem::Problem;

/// A command or a query is given up this much before the request's time-out, so that its own, better answer still reaches
/// the client; of a short time at most half.
const MARGIN: Duration = Duration::from_millis(500);

/// The time of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    arrived: Instant,
    /// Without what `wait` adds.
    request_max: Duration,
    wait: Option<Duration>,
    /// The rest of the caller's own time, on arrival.
    left: Option<Duration>,
}

impl Patience {
    /// # Errors
    /// `bad-request` for a `Nakku-Timeout-Ms` that cannot be read.
    pub(crate) fn of(
        headers: &HeaderMap,
        arrived: Instant,
        request_max: Duration,
        wait_max: Duration,
    ) -> Result<Self, Problem> {
        Ok(Patience {
            arrived,
            request_max,
            wait: prefer_wait(headers).map(|wait| wait.min(wait_max)),
            left: time_left(headers)?,
        })
    }

    /// The time at which an answer is of no use any more.
    pub(crate) fn deadline(&self) -> Instant {
        self.arrived + self.shortened(self.whole())
    }

    /// The time by which a command must have been decided. What it waits for afterwards comes on top.
    pub(crate) fn command_deadline(&self) -> Instant {
        self.arrived + without_margin(self.shortened(self.request_max))
    }

    /// The latest moment until which a query may wait.
    pub(crate) fn query_deadline(&self, wait: Duration) -> Instant {
        self.arrived + wait.min(without_margin(self.shortened(self.whole())))
    }

    /// The wait that `Prefer: wait` asks for.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait
    }

    /// The wait, but no longer than the caller waits.
    pub(crate) fn useful_wait(&self) -> Option<Duration> {
        let wait = self.wait?;
        Some(match self.left {
            Some(left) => wait.min(without_margin(left)),
            None => wait,
        })
    }

    /// Tells whether the caller has less time than the edge allows.
    pub(crate) fn is_shortened(&self) -> bool {
        self.left.is_some_and(|left| left < self.whole())
    }

    /// # Errors
    /// `overloaded` once the time is up: nothing is begun then.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        if Instant::now() < self.deadline() {
            return Ok(());
        }
        let why = match self.is_shortened() {
            true => "the caller's time was up before anything was begun, nothing was done",
            false => "the request's time was up before anything was begun, nothing was done",
        };
        Err(Problem::overloaded().detail(why))
    }

    fn whole(&self) -> Duration {
        self.request_max + self.wait.unwrap_or_default()
    }

    fn shortened(&self, time: Duration) -> Duration {
        self.left.map_or(time, |left| time.min(left))
    }
}

fn without_margin(time: Duration) -> Duration {
    time - MARGIN.min(time / 2)
}

fn time_left(headers: &HeaderMap) -> Result<Option<Duration>, Problem> {
    let Some(text) = headers::single(headers, &TIMEOUT_MS)? else {
        return Ok(None);
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::bad_request(format!(
            "header {TIMEOUT_MS} must be a number of milliseconds"
        )));
    }
    // More than fits is longer than anything here takes.
    let milliseconds = text.parse().unwrap_or(u64::MAX);
    Ok(Some(Duration::from_millis(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::PREFER;

    const WAIT_MAX: Duration = Duration::from_secs(30);

    fn patience(prefer: Option<&str>, left: Option<&str>) -> Patience {
        let mut headers = HeaderMap::new();
        if let Some(prefer) = prefer {
            headers.insert(PREFER, prefer.parse().unwrap());
        }
        if let Some(left) = left {
            headers.insert(TIMEOUT_MS, left.parse().unwrap());
        }
        Patience::of(&headers, Instant::now(), Duration::from_secs(10), WAIT_MAX).unwrap()
    }

    #[test]
    fn the_callers_time_only_ever_shortens() {
        let far = "99999999999999999999999999";
        // What is asked for; then all in ms: the whole, a command, a query that waits for 2 s, and what is waited for.
        for (prefer, left, whole, command, query, wait) in [
            (None, None, 10_000, 9_500, 2_000, None),
            (None, Some(far), 10_000, 9_500, 2_000, None),
            (Some("wait=5"), None, 15_000, 9_500, 2_000, Some(5_000)),
            (Some("wait=99"), None, 40_000, 9_500, 2_000, Some(30_000)),
            (
                Some("wait=5"),
                Some("12000"),
                12_000,
                9_500,
                2_000,
                Some(5_000),
            ),
            (
                Some("wait=5"),
                Some("4000"),
                4_000,
                3_500,
                2_000,
                Some(3_500),
            ),
            (None, Some("2000"), 2_000, 1_500, 1_500, None),
            (None, Some("100"), 100, 50, 50, None),
            (Some("wait=5"), Some("0"), 0, 0, 0, Some(0)),
        ] {
            let patience = patience(prefer, left);
            let after =
                |instant: Instant| u64::try_from((instant - patience.arrived).as_millis()).unwrap();
            let what = format!("{prefer:?} {left:?}");
            assert_eq!(after(patience.deadline()), whole, "{what}");
            assert_eq!(after(patience.command_deadline()), command, "{what}");
            let two_seconds = Duration::from_secs(2);
            assert_eq!(after(patience.query_deadline(two_seconds)), query, "{what}");
            let wait = wait.map(Duration::from_millis);
            assert_eq!(patience.useful_wait(), wait, "{what}");
        }
    }

    #[test]
    fn whose_time_is_up_is_told_that_nothing_was_done() {
        assert!(patience(None, Some("60000")).check().is_ok());
        assert!(!patience(None, Some("60000")).is_shortened());
        let late = patience(None, Some("0"));
        assert!(late.is_shortened());
        let detail = late.check().unwrap_err().document(None).detail;
        assert!(detail.contains("nothing was done"), "{detail}");
    }

    #[test]
    fn a_time_that_is_no_number_is_refused() {
        for wrong in ["", "-1", "+1", "1.5", "1 s", "0x10", "soon"] {
            let mut headers = HeaderMap::new();
            headers.insert(TIMEOUT_MS, wrong.parse().unwrap());
            assert!(time_left(&headers).is_err(), "{wrong:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(TIMEOUT_MS, "1".parse().unwrap());
        twice.append(TIMEOUT_MS, "1".parse().unwrap());
        assert!(time_left(&twice).is_err());
    }
}
