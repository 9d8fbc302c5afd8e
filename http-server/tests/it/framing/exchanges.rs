//! What a handler sees of a request, and a client of the answers.

use std::sync::atomic::Ordering;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{
    Door, LAST, LAST_REQUEST, SMUGGLED_REQUEST, answers, asked, chunked, headed, hello, say, server,
};
use crate::within;

#[tokio::test]
async fn what_a_chunked_body_says_is_what_the_handler_reads() {
    let server = server(&Door::default()).await;
    let sent = "POST /echo HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTrailer: X-Role\r\nTransfer-Encoding: chunked\r\n\r\n\
                2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX-Role: admin\r\nContent-Length: 3\r\nHost: y\r\n\r\n";
    let answers = say(&server, &format!("{sent}{LAST_REQUEST}")).await;
    let [echo, last] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(last.status, LAST);
    // RFC 9110 6.5.1: trailers are not merged into the headers.
    let headers = [
        "host: x",
        "te: trailers",
        "trailer: X-Role",
        "transfer-encoding: chunked",
    ];
    assert_eq!(
        echo.json(),
        json!({"method": "POST", "path": "/echo", "headers": headers, "body": "hello"})
    );
    // Nothing was to be told behind the body, though `TE` would allow it.
    assert_eq!(echo.header("trailer"), None);
    server.stop().await;
}

#[tokio::test]
async fn an_ambiguous_length_is_not_seen_by_the_handler() {
    let server = server(&Door::default()).await;
    for lines in [
        "Content-Length: 7\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 7",
    ] {
        let sent = hello(lines).replace("hello", "2\r\nhi\r\n0\r\n\r\n");
        let answers = say(&server, &sent).await;
        let echo = answers[0].json();
        assert_eq!(echo["body"], "hi");
        assert_eq!(
            echo["headers"],
            json!(["host: x", "transfer-encoding: chunked"])
        );
        assert_eq!(answers[0].header("connection"), Some("close"));
    }
    let twice = hello("Connection: close\r\nContent-Length: 5\r\nContent-Length: 5");
    let answers = say(&server, &twice).await;
    assert_eq!(
        answers[0].json()["headers"],
        json!(["host: x", "connection: close", "content-length: 5"])
    );
    server.stop().await;
}

/// RFC 9110 7.6.1: what `Connection` names is for this hop; `close` among it ends the connection.
#[tokio::test]
async fn close_is_found_among_other_options() {
    let server = server(&Door::default()).await;
    for lines in [
        "Connection: close",
        "Connection: close, x-secret\r\nX-Secret: 1",
        "Connection: x-secret , CLOSE\r\nX-Secret: 1",
        "Connection: x-secret\r\nConnection: close\r\nConnection: keep-alive",
    ] {
        let sent = headed(&format!("Host: x\r\n{lines}"));
        let answers = say(&server, &format!("{sent}{LAST_REQUEST}")).await;
        assert_eq!(answers.len(), 1, "{lines:?}: {answers:?}");
        assert_eq!(answers[0].status, 200);
        assert_eq!(answers[0].header("connection"), Some("close"));
    }
    server.stop().await;
}

/// RFC 9112 9.3.2: answers come in the order of the requests.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let door = Door::default();
    let server = server(&door).await;
    let mut sent = "GET /first HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    sent += &hello("Content-Length: 5");
    sent += &chunked("5\r\nhello\r\n0\r\n\r\n");
    sent += &asked("GET /nothing HTTP/1.1");
    sent += LAST_REQUEST;
    let asking = async {
        let answers = say(&server, &sent).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 200, 200, 404, LAST]);
        assert_eq!(answers[0].body, "first");
    };
    let letting_go = async {
        within(door.first_began.notified()).await;
        door.first_may_go.notify_one();
    };
    tokio::join!(asking, letting_go);
    server.stop().await;
}

/// RFC 9110 10.1.1: a client that waits for leave gets it, or the final answer.
#[tokio::test]
async fn leave_to_send_a_body_is_given_when_it_will_be_read() {
    let server = server(&Door::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let leave = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut said = vec![0; leave.len()];
    within(stream.read_exact(&mut said)).await.unwrap();
    assert_eq!(String::from_utf8(said).unwrap(), leave);
    stream.write_all(b"hello").await.unwrap();
    let mut said = String::new();
    within(stream.read_to_string(&mut said)).await.unwrap();
    let answers = answers(&said);
    assert_eq!(answers[0].json()["body"], "hello");

    let too_large = head.replace("Length: 5", "Length: 1000000");
    for (head, status) in [
        (too_large.as_str(), 413),
        (&head.replace("echo", "nothing"), 404),
    ] {
        let answers = say(&server, head).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].status, status);
    }
    server.stop().await;
}

/// RFC 9110 10.1.1 permits 417 for an unknown expectation; it is ignored, and so is any of HTTP/1.0.
#[tokio::test]
async fn other_expectations_are_ignored() {
    let server = server(&Door::default()).await;
    for sent in [
        hello("Connection: close\r\nExpect: a-miracle\r\nContent-Length: 5"),
        hello("Expect: 100-continue\r\nContent-Length: 5").replace("HTTP/1.1", "HTTP/1.0"),
        headed("Host: x\r\nConnection: close\r\nExpect: 100-continue"),
    ] {
        let answers = say(&server, &sent).await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].status, 200);
    }
    server.stop().await;
}

/// A body that nobody reads is skipped, or it is the end of the connection; it is never a request (RFC 9112 9.3).
#[tokio::test]
async fn an_unread_body_is_not_a_request() {
    let door = Door::default();
    let server = server(&door).await;
    let requests = SMUGGLED_REQUEST.repeat(20_000);
    let size = requests.len();
    let sized = format!("Content-Length: {size}\r\n\r\n{requests}");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{requests}\r\n0\r\n\r\n");
    let short = format!(
        "Content-Length: {}\r\n\r\n{SMUGGLED_REQUEST}",
        SMUGGLED_REQUEST.len()
    );
    for (first, status) in [
        ("POST /unread HTTP/1.1\r\nHost: x", 200),
        ("POST /nothing HTTP/1.1\r\nHost: x", 404),
        ("POST /only-get HTTP/1.1\r\nHost: x", 405),
        ("GET /only-get HTTP/1.1\r\nHost: x", 200),
        ("POST /echo HTTP/1.1", 400),
        ("POST /echo HTTP/1.1\r\nHost: x\r\nHost: x", 400),
        (
            "POST /unread HTTP/1.1\r\nHost: x\r\nExpect: 100-continue",
            200,
        ),
    ] {
        for body in [&sized, &chunked, &short] {
            let answers = say(&server, &format!("{first}\r\n{body}{LAST_REQUEST}")).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            let what = format!("{first:?} with {:?}", &body[..30]);
            // Its size is refused before the route is looked for, and behind the `Host`.
            let refused = if body == &sized && status != 400 {
                413
            } else {
                status
            };
            assert!(
                statuses == [refused] || statuses == [refused, LAST],
                "{what}: {statuses:?}"
            );
            assert_eq!(door.smuggled.load(Ordering::Relaxed), 0, "{what}");
        }
    }
    server.stop().await;
}

/// RFC 9110 9.3.6: without a 2xx there is no tunnel, and what follows is a request.
#[tokio::test]
async fn nobody_gets_a_tunnel() {
    let server = server(&Door::default()).await;
    for target in ["x:80", "/echo", "/only-get", "/nothing"] {
        let sent = asked(&format!("CONNECT {target} HTTP/1.1"));
        let answers = say(&server, &format!("{sent}{LAST_REQUEST}")).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [405, LAST], "{target}");
    }
    server.stop().await;
}

/// RFC 9110 9.3.8: an answer to TRACE would tell scripts of a page what it must not know.
#[tokio::test]
async fn a_trace_tells_nothing_of_the_request() {
    let server = server(&Door::default()).await;
    let sent = "TRACE /only-get HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: secret\r\n\r\n";
    let answers = say(&server, sent).await;
    assert_eq!(answers[0].status, 405);
    assert_eq!(
        answers[0].header("content-type"),
        Some("application/problem+json")
    );
    assert!(!answers[0].body.contains("secret"), "{answers:?}");
    server.stop().await;
}

/// RFC 9110 7.8: an offer to switch protocols may be ignored.
#[tokio::test]
async fn an_upgrade_is_not_taken() {
    let server = server(&Door::default()).await;
    let sent = headed(
        "Host: x\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
    );
    let answers = say(&server, &format!("{sent}{LAST_REQUEST}")).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, LAST]);
    server.stop().await;
}
