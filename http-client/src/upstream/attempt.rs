//! One attempt of a call, at one instance.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::{Instant, timeout_at};

use super::running::Running;
use crate::body::{Answered, Body};
use crate::connection::HasAnswered;
use crate::headers;
use crate::instance::{Admitted, Outcome};
use crate::problem;
use crate::reason::root_cause;
use crate::retry::Came;

/// How long the body of an answer may stand still that is no stream: an instance that hangs there does not hold a client for
/// ever.
const ANSWER_IDLE_MAX: Duration = Duration::from_secs(30);
/// What a failure of a stream is charged with: its own bound is on pauses and says nothing about how fast an answer is.
const STREAM_CHARGE: Duration = Duration::from_secs(5);

/// What came of it.
pub(super) enum Ended {
    /// The head of an answer, with its problem's code where that matters.
    Answered(Response<Body>, Option<String>),
    /// It certainly did not arrive.
    NotSent(String),
    /// It may have arrived.
    Lost {
        why: String,
        is_timeout: bool,
        /// Whether it was by a connection that had answered before.
        is_stale: bool,
    },
}

impl Ended {
    pub(super) fn came(&self) -> Came<'_> {
        match self {
            Ended::Answered(response, code) => Came::Answer(response.status(), code.as_deref()),
            Ended::NotSent(_) => Came::NotSent,
            Ended::Lost {
                is_timeout: true, ..
            } => Came::TimedOut,
            Ended::Lost { is_stale: true, .. } => Came::Stale,
            Ended::Lost { .. } => Came::Broken,
        }
    }

    /// Whether the request may have had an effect, although the attempt is repeated.
    pub(super) fn may_have_had_an_effect(&self) -> bool {
        match self {
            Ended::NotSent(_) => false,
            Ended::Lost { .. } => true,
            // An overloaded instance says that it did nothing; all others do not.
            Ended::Answered(response, code) => {
                response.status() != StatusCode::SERVICE_UNAVAILABLE
                    || code.as_deref() == Some("outcome-unknown")
            }
        }
    }
}

/// Sends the request once, and waits for the head of its answer.
pub(super) async fn attempt(call: &Running<'_>, admitted: Admitted, given: Duration) -> Ended {
    let instance = Arc::clone(admitted.instance());
    let mut request = match request(call, &admitted, given) {
        Ok(request) => request,
        Err(error) => {
            admitted.finish(Outcome::InVain, Duration::ZERO);
            return Ended::NotSent(error.to_string());
        }
    };
    let connection = capture_connection(&mut request);
    let connections = instance.connections();
    // Its error is the whole of it where it fails; dropping it closes the connection.
    let exchange = exchange(call, connections.request(request));
    let begun = Instant::now();
    let ended = match call.options.idle {
        None => timeout_at(begun + given, exchange).await.ok(),
        Some(idle) => tokio::select! {
            ended = exchange => Some(ended),
            () = stands_still(call, idle) => None,
        },
    };
    let charge = match call.options.idle {
        None => call.options.attempt,
        Some(_) => STREAM_CHARGE,
    };
    match ended {
        Some(Ok((response, code))) => {
            if let Some(has_answered) = HasAnswered::of(&connection) {
                has_answered.set();
            }
            let outcome = outcome_of(response.status());
            let in_flight = admitted.finish(outcome, charge);
            let idle = call.options.idle.unwrap_or(ANSWER_IDLE_MAX);
            let activity = call.activity.clone();
            let response =
                response.map(|body| Answered::new(body, in_flight, idle, activity).boxed_unsync());
            Ended::Answered(response, code)
        }
        Some(Err(error)) => {
            let host = instance.url().authority().host();
            let has_answered = HasAnswered::of(&connection);
            let is_stale = matches!(error, Broke::Sending(_))
                && has_answered.is_some_and(|has_answered| has_answered.is_true());
            let (ended, outcome) = broken(&error, host, is_stale);
            admitted.finish(outcome, charge);
            ended
        }
        None => {
            let (ended, outcome) = timed_out(call, &connection, given);
            admitted.finish(outcome, charge);
            ended
        }
    }
}

fn request(
    call: &Running<'_>,
    admitted: &Admitted,
    given: Duration,
) -> Result<Request<Body>, http::Error> {
    let uri = admitted.instance().url().at(&call.head.uri)?;
    let mut request = Request::new(call.body.of_attempt());
    *request.method_mut() = call.head.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().clone_from(&call.head.headers);
    if call.upstream.is_own() && call.options.idle.is_none() {
        let millis = u64::try_from(given.as_millis()).unwrap_or(u64::MAX);
        request
            .headers_mut()
            .insert(headers::TIMEOUT_MS, millis.into());
    }
    Ok(request)
}

/// Why there is no head, or no problem behind it.
enum Broke {
    Sending(legacy::Error),
    Reading(crate::body::BoxError),
}

async fn exchange(
    call: &Running<'_>,
    response: legacy::ResponseFuture,
) -> Result<(Response<Body>, Option<String>), Broke> {
    let response = response.await.map_err(Broke::Sending)?;
    let response = response.map(crate::body::stream);
    let options = &call.options;
    let reads_code = options.retry.reads_code_of(options.hops, response.status())
        && problem::is_problem(response.headers());
    if !reads_code {
        return Ok((response, None));
    }
    let (head, body) = response.into_parts();
    let (code, body) = problem::code_of(body).await.map_err(Broke::Reading)?;
    Ok((Response::from_parts(head, body), code))
}

async fn stands_still(call: &Running<'_>, idle: Duration) {
    match &call.activity {
        Some(activity) => activity.stands_still(idle).await,
        None => std::future::pending().await,
    }
}

fn outcome_of(status: StatusCode) -> Outcome {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Outcome::FailedBehind,
        _ if status.is_server_error() => Outcome::Refusal,
        _ if status.is_client_error() => Outcome::Answer,
        _ => Outcome::Success,
    }
}

fn broken(error: &Broke, host: &str, is_stale: bool) -> (Ended, Outcome) {
    let error = match error {
        Broke::Sending(error) if error.is_connect() => {
            let why = format!("no connection: {}", root_cause(error, host));
            return (Ended::NotSent(why), Outcome::NotConnected);
        }
        Broke::Sending(error) => error as &(dyn Error + 'static),
        Broke::Reading(error) => &**error,
    };
    let is_clients = is_of_the_body(error);
    let why = match is_clients {
        true => format!("its body broke off: {}", root_cause(error, host)),
        false => format!("the connection broke: {}", root_cause(error, host)),
    };
    let outcome = match (is_clients, is_stale) {
        (true, _) => Outcome::InVain,
        (false, true) => Outcome::Stale,
        (false, false) => Outcome::Reset,
    };
    let ended = Ended::Lost {
        why,
        is_timeout: false,
        is_stale,
    };
    (ended, outcome)
}

/// Whether it was the body that we send which failed.
fn is_of_the_body(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return error.is_user();
        }
        cause = error.source();
    }
    false
}

fn timed_out(
    call: &Running<'_>,
    connection: &CaptureConnection,
    given: Duration,
) -> (Ended, Outcome) {
    let has_connection = connection.connection_metadata().is_some();
    let (is_fair, waited) = match (&call.activity, call.options.idle) {
        (Some(activity), Some(idle)) => (!activity.is_client_awaited(), idle),
        _ => (call.options.is_fair(given), given),
    };
    let outcome = match (is_fair, has_connection) {
        (true, true) => Outcome::TimedOut,
        (true, false) => Outcome::NotConnected,
        (false, _) => Outcome::InVain,
    };
    let ended = match has_connection {
        true => Ended::Lost {
            why: format!("no answer within {waited:?}"),
            is_timeout: true,
            is_stale: false,
        },
        false => Ended::NotSent(format!("no connection within {waited:?}")),
    };
    (ended, outcome)
}
