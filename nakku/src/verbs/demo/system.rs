//! The running system, as a client sees it: every request has a bound, and is tried again where that is safe and may help.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::http::header::{HeaderName, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use http_client::{CallError, CallOptions, Pool, ServiceUrl, Upstream, UpstreamSettings};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The longest `Prefer: wait`, and what a request may take beyond it, with room for a slow machine.
const REQUEST_MAX: Duration = Duration::from_secs(50);
/// A page of stock is the longest answer.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Customers who ask at once keep their connections.
const IDLE_CONNECTIONS_MAX: usize = 256;
/// A system that is not there is not worth more.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Tries of one request: a restart of the system takes a few seconds.
const TRIES_MAX: u32 = 10;
/// Between two tries at first; then twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// And at most, also where the system asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Refusals that mean "not now": of overload and rate, and while the first try is still under way.
const NOT_NOW: [StatusCode; 2] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::SERVICE_UNAVAILABLE,
];
const COMMAND_IN_FLIGHT: &str = "command-in-flight";

/// A client of one system.
pub(super) struct System {
    upstream: Upstream,
    url: String,
}

/// A request that may be repeated: a query, or a command whose repetition does no harm.
pub(super) struct Call<'a> {
    method: Method,
    path: String,
    token: Option<&'a str>,
    headers: Vec<(&'static str, String)>,
    content: Content,
}

enum Content {
    None,
    Json(Value),
    Ndjson(String),
}

/// What the system said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Value,
}

/// It said nothing, however often it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{url} does not answer: {why}")]
pub(super) struct Unanswered {
    url: String,
    why: String,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: impl Into<String>) -> Call<'a> {
        Call {
            method: Method::GET,
            path: path.into(),
            token: None,
            headers: Vec::new(),
            content: Content::None,
        }
    }

    pub(super) fn post(path: impl Into<String>, body: Value) -> Call<'a> {
        Call {
            method: Method::POST,
            content: Content::Json(body),
            ..Call::get(path)
        }
    }

    /// A POST of lines.
    pub(super) fn send(path: impl Into<String>, lines: String) -> Call<'a> {
        Call {
            method: Method::POST,
            content: Content::Ndjson(lines),
            ..Call::get(path)
        }
    }

    pub(super) fn with_token(self, token: &'a str) -> Call<'a> {
        Call {
            token: Some(token),
            ..self
        }
    }

    pub(super) fn with(mut self, header: &'static str, value: impl Into<String>) -> Call<'a> {
        self.headers.push((header, value.into()));
        self
    }
}

impl Answer {
    /// The body of a success.
    ///
    /// # Errors
    /// The problem, in words, or that the body is not what it should be.
    pub(super) fn read<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        if !self.status.is_success() {
            bail!("{}", self.problem());
        }
        serde_json::from_value(self.body).context("the answer is not what this nakku expects")
    }

    /// The problem's code, or the status where there is none.
    pub(super) fn code(&self) -> String {
        match self.body["code"].as_str() {
            Some(code) => code.to_owned(),
            None => format!("http-{}", self.status.as_u16()),
        }
    }

    /// The problem in words.
    pub(super) fn problem(&self) -> String {
        let detail = self.body["detail"].as_str();
        let title = self.body["title"].as_str();
        match detail.or(title) {
            Some(words) => format!("{} ({words})", self.code()),
            None => self.code(),
        }
    }

    fn is_not_now(&self) -> bool {
        NOT_NOW.contains(&self.status) || self.body["code"] == COMMAND_IN_FLIGHT
    }
}

impl System {
    /// # Errors
    /// When no client can be set up.
    pub(super) fn new(url: &str) -> anyhow::Result<System> {
        let settings = UpstreamSettings {
            pool: Pool {
                idle_per_instance: IDLE_CONNECTIONS_MAX,
                idle_in_all: IDLE_CONNECTIONS_MAX,
                ..Pool::default()
            },
            connect_timeout: CONNECT_MAX,
            // A customer has patience of its own: what is tried again is told by `ask`.
            breaker: None,
            attempts_max: 1,
            ..UpstreamSettings::default()
        };
        let instance: ServiceUrl = url
            .parse()
            .with_context(|| format!("{url} is no address"))?;
        let upstream = Upstream::new("nakku", &[instance], settings)
            .context("the HTTP client cannot be set up")?;
        Ok(System {
            upstream,
            url: url.to_owned(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Looks whether somebody is there who takes orders; asked once.
    ///
    /// # Errors
    /// One line that says who is not there, and what to do.
    pub(super) async fn takes_orders(&self) -> anyhow::Result<()> {
        let url = &self.url;
        let live = self.send(http_client::Call::get("/health/live")).await;
        let live = live.map_err(|error| {
            let why = why(error);
            anyhow!("cannot reach {url}: {why}; is `nakku up` running there? NAKKU_URL names another system")
        })?;
        if !live.status.is_success() {
            let status = live.status;
            bail!("{url} is no nakku: it answers /health/live with {status}");
        }
        // Without a token nobody orders; a route that is there says so.
        let call = Call::post("/orders", json!({}));
        let answer = self.ask(&call).await?;
        if matches!(
            answer.status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        ) {
            bail!("{url} takes no orders: name the gateway, or `nakku up`, in NAKKU_URL");
        }
        Ok(())
    }

    /// Asks until there is an answer that counts, or it has been asked often enough; then the last answer counts.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Answer, Unanswered> {
        let mut pause = PAUSE_MIN;
        let mut tries = 1;
        loop {
            let asked_for = match self.ask_once(call).await {
                Ok((answer, asked_for)) if answer.is_not_now() && tries < TRIES_MAX => asked_for,
                Ok((answer, _)) => return Ok(answer),
                Err(_) if tries < TRIES_MAX => None,
                Err(error) => {
                    let (url, why) = (self.url.clone(), why(error));
                    return Err(Unanswered { url, why });
                }
            };
            tokio::time::sleep(asked_for.unwrap_or(pause).min(PAUSE_MAX)).await;
            pause = (pause * 2).min(PAUSE_MAX);
            tries += 1;
        }
    }

    /// The answer, and how long it asks to be left alone.
    async fn ask_once(&self, call: &Call<'_>) -> Result<(Answer, Option<Duration>), CallError> {
        let answer = self.send(call.request()).await?;
        let asked_for = retry_after(&answer);
        // What is no JSON is no answer of the API's; then the status tells all.
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        let status = answer.status;
        Ok((Answer { status, body }, asked_for))
    }

    async fn send(&self, call: http_client::Call) -> Result<http_client::Answer, CallError> {
        let options = CallOptions::once(REQUEST_MAX);
        self.upstream.send(call, options, ANSWER_BYTES_MAX).await
    }
}

impl Call<'_> {
    fn request(&self) -> http_client::Call {
        let path = format!("{}{}", command_api::API_PREFIX, self.path);
        let mut request = http_client::Call::new(self.method.clone(), &path);
        if let Some(token) = self.token {
            request = request.bearer(&SecretString::from(token));
        }
        for (name, value) in &self.headers {
            request = request.header(HeaderName::from_static(name), value);
        }
        match &self.content {
            Content::None => request,
            Content::Json(body) => request.json(body),
            Content::Ndjson(lines) => request.body("application/x-ndjson", lines.clone()),
        }
    }
}

/// What a person can do something about.
fn why(error: CallError) -> String {
    match error {
        CallError::NotSent { why, .. } | CallError::Unknown { why, .. } => why,
        CallError::Answered { status, .. } => format!("it answered {status}"),
    }
}

fn retry_after(answer: &http_client::Answer) -> Option<Duration> {
    let seconds = answer.headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
