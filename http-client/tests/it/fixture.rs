//! Upstreams of a test, and calls of them.

use std::time::Duration;

use http_client::{
    Body, CallError, CallOptions, Retry, ServiceUrl, Upstream, UpstreamSettings, body, read_capped,
};
use tempfile::TempDir;
use testing::{UpstreamBehaviour, UpstreamProcess};

pub const MS: Duration = Duration::from_millis(1);
/// Longer than anything takes here, also on a slow machine.
pub const LONG: Duration = Duration::from_secs(20);

/// A process with the folder of its files.
pub struct Process {
    pub process: UpstreamProcess,
    _dir: TempDir,
}

pub fn start(behaviour: &UpstreamBehaviour) -> Process {
    let dir = tempfile::tempdir().unwrap();
    let process = UpstreamProcess::start(dir.path(), behaviour);
    Process { process, _dir: dir }
}

pub fn ok() -> UpstreamBehaviour {
    UpstreamBehaviour::answer(200).body("done")
}

pub fn urls(processes: &[&Process]) -> Vec<ServiceUrl> {
    let url = |process: &&Process| process.process.url().parse().unwrap();
    processes.iter().map(url).collect()
}

/// A client of instances, as our own services are called.
pub fn client(processes: &[&Process]) -> Upstream {
    client_with(processes, UpstreamSettings::default())
}

pub fn client_with(processes: &[&Process], settings: UpstreamSettings) -> Upstream {
    Upstream::new("order-service", &urls(processes), settings).unwrap()
}

pub fn options(retry: Retry) -> CallOptions {
    CallOptions {
        retry,
        deadline: LONG,
        attempt: LONG / 2,
        is_shortened: false,
        idle: None,
        hops: 0,
    }
}

pub fn get() -> http::Request<Body> {
    http::Request::get("/things").body(body::empty()).unwrap()
}

pub fn post(key: &str) -> http::Request<Body> {
    post_with(key, body::full("{}"))
}

pub fn post_with(key: &str, body: Body) -> http::Request<Body> {
    http::Request::post("/things")
        .header("idempotency-key", key)
        .body(body)
        .unwrap()
}

/// Status and body of what a call answers.
pub async fn answer(
    upstream: &Upstream,
    request: http::Request<Body>,
    options: CallOptions,
) -> Result<(u16, String), CallError> {
    let response = upstream.call(request, options).await?;
    let status = response.status().as_u16();
    let body = read_capped(response.into_body(), 1024 * 1024)
        .await
        .unwrap();
    Ok((status, String::from_utf8(body.to_vec()).unwrap()))
}

/// Status of what a call answers.
pub async fn status(
    upstream: &Upstream,
    request: http::Request<Body>,
    options: CallOptions,
) -> Result<u16, CallError> {
    answer(upstream, request, options)
        .await
        .map(|(status, _)| status)
}

pub fn is_not_sent(result: &Result<u16, CallError>) -> bool {
    matches!(result, Err(CallError::NotSent { .. }))
}

pub fn is_unknown(result: &Result<u16, CallError>) -> bool {
    matches!(result, Err(CallError::Unknown { .. }))
}
