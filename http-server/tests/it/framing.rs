//! The wire at the door: what RFC 9110 and RFC 9112 ask of a server about requests that are odd, ambiguous or malformed.
//!
//! Each row of a table is one connection: the bytes of the row, and behind them a proper request that asks for the end.
//! Its answer shows that the connection went on, and its absence that what came before was the end.
//! `/smuggled` stands only where no request may be seen, in bodies and behind ambiguous ones.

mod exchanges;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http_server::EdgeConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::{Running, within};

/// The status of the request behind each row, which nothing else is answered with.
const LAST: u16 = 299;
const LAST_REQUEST: &str = "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const SMUGGLED_REQUEST: &str = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
/// The request is answered, and the connection goes on.
const SERVED: &[u16] = &[200, LAST];
/// The request is answered, and the connection ends.
const SERVED_AND_CLOSED: &[u16] = &[200];
/// The request is not understood, so where the next one begins is not known: the connection ends.
const REFUSED: &[u16] = &[400];
/// The request is refused, and where it ends is known: the connection goes on.
const REFUSED_ALONE: &[u16] = &[400, LAST];

/// A rule (an RFC, its section and what it says), what is sent, and the statuses of the answers.
struct Row(&'static str, String, &'static [u16]);

fn row(rule: &'static str, sent: impl Into<String>, answers: &'static [u16]) -> Row {
    Row(rule, sent.into(), answers)
}

#[derive(Clone, Default)]
struct Door {
    smuggled: Arc<AtomicUsize>,
    first_began: Arc<Notify>,
    first_may_go: Arc<Notify>,
}

/// The request as a handler sees it.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let headers = parts.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let body = String::from_utf8_lossy(&body);
    let path = parts.uri.path();
    json!({"method": parts.method.as_str(), "path": path, "headers": headers, "body": body})
        .to_string()
        .into_response()
}

async fn server(door: &Door) -> Running {
    let router = Router::new()
        .route("/echo", any(echo))
        .route("/only-get", get(async || "got"))
        .route("/health/live", get(async || "lives"))
        .route("/unread", any(async || "not read"))
        .route("/last", get(async || StatusCode::from_u16(LAST).unwrap()))
        .route(
            "/smuggled",
            any(async |State(door): State<Door>| {
                door.smuggled.fetch_add(1, Ordering::Relaxed);
            }),
        )
        .route(
            "/first",
            get(async |State(door): State<Door>| {
                door.first_began.notify_one();
                door.first_may_go.notified().await;
                "first"
            }),
        )
        .with_state(door.clone());
    Running::start(router, EdgeConfig::default()).await
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(each, _)| each == name);
        header.map(|(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// All answers in what came on a connection until its end.
fn answers(mut text: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
        let (status, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = status
            .strip_prefix("HTTP/1.1 ")
            .or(status.strip_prefix("HTTP/1.0 "));
        let status = status.expect("a status line")[..3].parse().unwrap();
        let fields = fields.lines().map(|line| line.split_once(": ").unwrap());
        let mut answer = Answer {
            status,
            headers: fields
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: String::new(),
        };
        let length = answer.header("content-length");
        let length = length.map_or(0, |length| length.parse().unwrap());
        let (body, rest) = rest.split_at(length);
        answer.body = body.to_owned();
        text = rest;
        answers.push(answer);
    }
    answers
}

/// All that a server says to these bytes until it ends the connection.
async fn say(server: &Running, sent: &str) -> Vec<Answer> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sent = sent.as_bytes().to_owned();
    // A server that has refused may have closed before all was written.
    let writing = tokio::spawn(async move {
        let _ = writer.write_all(&sent).await;
        writer
    });
    let mut said = Vec::new();
    // What was sent behind a refusal lies unread, so the end may be a reset.
    let _ = within(reader.read_to_end(&mut said)).await;
    within(writing).await.unwrap();
    answers(std::str::from_utf8(&said).unwrap())
}

async fn holds(rows: Vec<Row>) {
    let door = Door::default();
    let server = server(&door).await;
    let mut failures = Vec::new();
    for Row(rule, sent, expected) in rows {
        let answers = say(&server, &format!("{sent}{LAST_REQUEST}")).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        let smuggled = door.smuggled.swap(0, Ordering::Relaxed);
        if statuses != expected || smuggled > 0 {
            let sent: String = sent.chars().take(200).collect();
            failures.push(format!(
                "{rule}: {sent:?} got {statuses:?} instead of {expected:?}, {smuggled} smuggled"
            ));
        }
    }
    server.stop().await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A POST with a body of `hello` and these header lines.
fn hello(lines: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\nhello")
}

/// A POST with these header lines and, as its body, what ends a chunked one and then a request.
fn ambiguous(lines: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\n{lines}\r\n\r\n0\r\n\r\n{SMUGGLED_REQUEST}")
}

/// A POST with this chunked body.
fn chunked(body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

/// A GET with these lines behind the request line.
fn headed(lines: &str) -> String {
    format!("GET /echo HTTP/1.1\r\n{lines}\r\n\r\n")
}

/// A request of this request line.
fn asked(line: &str) -> String {
    format!("{line}\r\nHost: x\r\n\r\n")
}
