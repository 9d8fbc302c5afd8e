//! A call: its attempts, until one is its answer.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode, header};
use tokio::time::{Instant, sleep, timeout_at};

use super::attempt::{self, Ended};
use super::{Inner, Refusal};
use crate::activity::Activity;
use crate::backoff;
use crate::body::{Body, Kept};
use crate::error::CallError;
use crate::instance::Instance;
use crate::measure;
use crate::options::CallOptions;
use crate::reason::causes;
use crate::retry::{COMMAND_IN_FLIGHT, Next, Retry, STALE};

/// Times that a call asks for its running original: with the pauses between them longer than any deadline.
const WAITS_MAX: u32 = 200;
const PASSED: &str = "its deadline passed";

/// A call under way.
pub(super) struct Running<'a> {
    pub(super) upstream: &'a Inner,
    pub(super) options: CallOptions,
    pub(super) head: Parts,
    pub(super) body: Kept,
    /// Of streams: what moves.
    pub(super) activity: Option<Arc<Activity>>,
    /// None for streams.
    deadline: Option<Instant>,
    attempts: u32,
    waits: u32,
    tried: Vec<Arc<Instance>>,
    /// Whether an attempt before met a connection that was just being closed.
    met_stale: bool,
    /// Whether an attempt before may have had its effect.
    may_have_arrived: bool,
}

/// Another attempt is to be made.
struct Another {
    reason: &'static str,
    pause: Duration,
}

impl<'a> Running<'a> {
    /// Takes the call on, with as much of its body as is kept.
    pub(super) async fn begin(
        upstream: &'a Inner,
        request: Request<Body>,
        options: CallOptions,
    ) -> Result<Running<'a>, CallError> {
        let now = Instant::now();
        upstream.budget.lock().call(now);
        let (mut head, body) = request.into_parts();
        upstream.prepare(&mut head.headers, options.hops);
        let (body, activity, deadline) = match options.idle {
            Some(_) => {
                let activity = Arc::new(Activity::new(now));
                let body = Kept::streamed(body, Arc::clone(&activity));
                (body, Some(activity), None)
            }
            None => {
                let deadline = now + options.deadline;
                (kept(body, deadline).await?, None, Some(deadline))
            }
        };
        if matches!(body, Kept::Whole(_)) {
            // Told by the body itself.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        Ok(Running {
            upstream,
            options,
            head,
            body,
            activity,
            deadline,
            attempts: 0,
            waits: 0,
            tried: Vec::new(),
            met_stale: false,
            may_have_arrived: false,
        })
    }

    /// The answer.
    pub(super) async fn run(mut self) -> Result<Response<Body>, CallError> {
        let can_fail = self.options.retry != Retry::Never && self.options.hops == 0;
        let is_timed = self.deadline.is_some() && !asks_to_wait(&self.head.headers);
        loop {
            let now = Instant::now();
            let Some(given) = self.given(now) else {
                return Err(self.without_answer(PASSED, None));
            };
            let admitted = match self.upstream.admit(now, &self.tried, can_fail, is_timed) {
                Ok(admitted) => admitted,
                Err(Refusal { why, until }) => {
                    let left = until.map(|until| until.saturating_duration_since(now));
                    return Err(self.without_answer(why, left));
                }
            };
            self.attempts += 1;
            let instance = Arc::clone(admitted.instance());
            let ended = attempt::attempt(&self, admitted, given).await;
            match self.decide(ended) {
                ControlFlow::Break(result) => return result,
                ControlFlow::Continue(Another { reason, pause }) => {
                    if reason != COMMAND_IN_FLIGHT {
                        self.tried.push(instance);
                    }
                    measure::repetition(&self.upstream.name, reason);
                    sleep(pause).await;
                }
            }
        }
    }

    /// How much time an attempt has that begins now; none where the deadline has passed.
    fn given(&self, now: Instant) -> Option<Duration> {
        let Some(deadline) = self.deadline else {
            return Some(Duration::MAX);
        };
        let left = deadline.saturating_duration_since(now);
        (!left.is_zero()).then(|| left.min(self.options.attempt))
    }

    /// Whether what came of an attempt is the call's result.
    fn decide(&mut self, ended: Ended) -> ControlFlow<Result<Response<Body>, CallError>, Another> {
        let next = self.options.retry.next(self.options.hops, ended.came());
        let another = match next {
            Next::PassOn => None,
            Next::Wait => self.another_wait(),
            Next::Repeat(reason) => self.another_attempt(reason, &ended),
        };
        match another {
            Some(another) => {
                self.may_have_arrived |= ended.may_have_had_an_effect();
                ControlFlow::Continue(another)
            }
            None => ControlFlow::Break(self.result(ended)),
        }
    }

    /// Asks again for a running original. That is no repetition of what failed, and takes nothing from the budget.
    fn another_wait(&mut self) -> Option<Another> {
        let pause = backoff::before_asking_again(self.waits + 1, rand::random());
        if self.waits >= WAITS_MAX || !self.body.is_repeatable() || !self.has_time_for(pause) {
            return None;
        }
        self.waits += 1;
        // Only those count that met no original.
        self.attempts -= 1;
        let reason = COMMAND_IN_FLIGHT;
        Some(Another { reason, pause })
    }

    fn another_attempt(&mut self, reason: &'static str, ended: &Ended) -> Option<Another> {
        if self.attempts >= self.upstream.settings.attempts_max || !self.body.is_repeatable() {
            return None;
        }
        let mut pause = backoff::before_repetition(self.attempts, rand::random());
        if let Ended::Answered(response, _) = ended
            && let Some(asked_for) = response.headers().get(header::RETRY_AFTER)
        {
            // Own services say it in seconds. A date is not guessed at: then the answer is passed on.
            let seconds = asked_for.to_str().ok()?.trim().parse().ok()?;
            pause = pause.max(Duration::from_secs(seconds));
        }
        if !self.has_time_for(pause) {
            return None;
        }
        // A kept connection has answered before, so that there is an answer for each such repetition: all that fails is not
        // failing more for it. The second one in a call is an ordinary repetition.
        let is_free = reason == STALE && !self.met_stale;
        self.met_stale |= is_free;
        if !is_free && !self.upstream.budget.lock().take(Instant::now()) {
            measure::refused_repetition(&self.upstream.name);
            return None;
        }
        Some(Another { reason, pause })
    }

    fn has_time_for(&self, pause: Duration) -> bool {
        match (self.deadline, self.options.idle) {
            (Some(deadline), _) => Instant::now() + pause < deadline,
            (None, idle) => idle.is_some_and(|idle| pause < idle),
        }
    }

    fn result(&self, ended: Ended) -> Result<Response<Body>, CallError> {
        match ended {
            // A failure behind an attempt that may have arrived does not tell that nothing happened.
            Ended::Answered(response, _)
                if self.may_have_arrived
                    && self.options.retry == Retry::Keyed
                    && is_failure(response.status()) =>
            {
                let why = format!(
                    "an attempt was lost, and the next one answered {}",
                    response.status()
                );
                Err(self.without_answer(&why, None))
            }
            Ended::Answered(response, _) => Ok(response),
            Ended::NotSent(why) => Err(self.without_answer(&why, None)),
            Ended::Lost {
                why, is_timeout, ..
            } => Err(CallError::Unknown { why, is_timeout }),
        }
    }

    /// The error of a call whose last attempt certainly did not arrive, or was not made.
    fn without_answer(&self, why: &str, retry_after: Option<Duration>) -> CallError {
        let why = why.to_owned();
        if self.may_have_arrived {
            let is_timeout = why == PASSED;
            return CallError::Unknown { why, is_timeout };
        }
        CallError::NotSent { why, retry_after }
    }
}

/// The body, once it is there.
async fn kept(body: Body, deadline: Instant) -> Result<Kept, CallError> {
    match timeout_at(deadline, Kept::read(body)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            let why = format!("its body broke off: {}", causes(&*error));
            Err(CallError::not_sent(why))
        }
        Err(_) => Err(CallError::not_sent("its body did not come in time")),
    }
}

fn is_failure(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Whether the answer is to come late: then its time says nothing about the instance.
fn asks_to_wait(headers: &HeaderMap) -> bool {
    let values = headers.get_all("prefer").iter();
    values
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("wait"))
}
