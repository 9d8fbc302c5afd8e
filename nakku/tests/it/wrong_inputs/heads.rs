//! Headers, paths, queries, and what is no HTTP at all.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{NO_ID, Refusal, Shop};

/// Whatever is sent, an answer or the end has come by then.
const ANSWER_MAX: Duration = Duration::from_secs(30);

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap()
}

pub(super) async fn headers_are_read_or_refused(shop: &Shop) {
    let body = json!({"quantity": 1}).to_string();
    let path = "/api/v1/inventory/store-1/NK-1/receive";
    let long = "k".repeat(201);
    for (name, wrong) in [
        ("idempotency-key", value(b"")),
        ("idempotency-key", value(long.as_bytes())),
        ("idempotency-key", value(b"a\tb")),
        ("idempotency-key", value("schlüssel".as_bytes())),
        ("if-match", value(b"3")),
        ("if-match", value(b"*")),
        ("if-match", value(b"W/3")),
        ("if-match", value(b"\"-1\"")),
        ("if-match", value(b"\"99999999999999999999\"")),
        ("if-match", value(b"\"\xff\"")),
        ("nakku-correlation-id", value(b"mine")),
        ("nakku-correlation-id", value(b"\xff")),
    ] {
        let request = shop
            .ask(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.clone())
            .header(name, wrong.clone());
        // The key is there where it is not what is wrong.
        let request = match name {
            "idempotency-key" => request,
            _ => request.header("idempotency-key", "wrong-2"),
        };
        Refusal::of(format!("{name}: {wrong:?}"), request)
            .await
            .is(400, "bad-request")
            .says(name);
    }
    let without_key = shop.ask(Method::POST, path).body(body.clone());
    let without_key = without_key.header("content-type", "application/json");
    Refusal::of("no key", without_key)
        .await
        .is(400, "idempotency-key-missing");
    let twice = shop.post_json(path, body).header("idempotency-key", "b");
    Refusal::of("two keys", twice).await.is(400, "bad-request");
    for wrong in [
        "",
        "x",
        "-1",
        "1,",
        "main:",
        "1:2:3",
        "99999999999999999999",
        "é",
    ] {
        let request = shop.ask(Method::GET, "/api/v1/products");
        let request = request.header("nakku-min-position", value(wrong.as_bytes()));
        Refusal::of(format!("nakku-min-position: {wrong:?}"), request)
            .await
            .is(400, "bad-request")
            .says("nakku-min-position");
    }
    // RFC 7240: a preference that cannot be read is ignored.
    for ignored in [
        "wait=soon",
        "wait=-1",
        "wait=",
        "=",
        "wait=99999999999999999999",
        "ü",
    ] {
        let request = shop.ask(Method::GET, "/api/v1/products");
        let request = request.header("prefer", value(ignored.as_bytes()));
        assert_eq!(request.send().await.unwrap().status(), 200, "{ignored}");
    }
}

pub(super) async fn paths_and_queries_are_read_or_refused(shop: &Shop) {
    for (path, status, code) in [
        ("/internal/products?sku=A", 404, "not-found"),
        ("/api/v1", 404, "not-found"),
        ("/api/v1/", 404, "not-found"),
        ("/api/v1/nowhere", 404, "not-found"),
        ("/api/v1/products/", 404, "not-found"),
        ("/api/v2/products", 404, "not-found"),
        ("/api/v1/products/no-id", 404, "not-found"),
        ("/api/v1/products/%ff", 400, "bad-request"),
        ("/api/v1/products/%00", 400, "bad-request"),
        ("/api/v1/products/by-sku/no-such-sku", 404, "not-found"),
        ("/api/v1/inventory/store-1/NO-SUCH", 404, "not-found"),
        ("/api/v1/admin/replays/x", 404, "not-found"),
        ("/api/v1/admin/projections/nobody", 404, "not-found"),
        ("/api/v1/admin/streams/nothing/x", 404, "not-found"),
        (
            "/api/v1/admin/streams/product/x/state?version=0",
            400,
            "bad-request",
        ),
        (
            "/api/v1/admin/streams/product/x/state?version=1&at=2026-01-01T00:00:00Z",
            400,
            "bad-request",
        ),
        (
            "/api/v1/admin/streams/product/x/state?at=yesterday",
            400,
            "bad-request",
        ),
        ("/api/v1/admin/events?from_position=0", 400, "bad-request"),
        (
            "/api/v1/admin/events/tail?from_position=999999999",
            400,
            "bad-request",
        ),
        ("/api/v1/products?limit=0", 400, "bad-request"),
        ("/api/v1/products?limit=201", 400, "bad-request"),
        ("/api/v1/products?limit=-1", 400, "bad-request"),
        ("/api/v1/products?limit=1e3", 400, "bad-request"),
        (
            "/api/v1/products?limit=99999999999999999999",
            400,
            "bad-request",
        ),
        ("/api/v1/products?limit=1&limit=2", 400, "bad-request"),
        ("/api/v1/products?cursor=not-ours", 400, "bad-request"),
        ("/api/v1/products?cursor=eyJhIjoxfQ", 400, "bad-request"),
        ("/api/v1/products?q=ale", 400, "bad-request"),
        ("/api/v1/products?limit=1&%00", 400, "bad-request"),
        ("/api/v1/inventory/store-1?cursor=WzFd", 400, "bad-request"),
        ("/api/v1/search?sort=best", 400, "bad-request"),
        ("/api/v1/search?limit=0", 400, "bad-request"),
        ("/api/v1/search?price_min=cheap", 400, "bad-request"),
        (
            "/api/v1/search?price_min=99999999999999999999",
            400,
            "bad-request",
        ),
        ("/api/v1/search?cursor=not-ours", 400, "bad-request"),
        ("/api/v1/search?categroy=Beer", 400, "bad-request"),
        ("/api/v1/search?q=a%00b", 400, "bad-request"),
    ] {
        Refusal::of(path, shop.ask(Method::GET, path))
            .await
            .is(status, code);
    }
    let unknown = shop.ask(Method::GET, "/api/v1/search?categroy=Beer");
    Refusal::of("a misspelt filter", unknown)
        .await
        .says("category");
    for (method, path, allowed) in [
        (Method::DELETE, "/api/v1/products", "GET,HEAD,POST"),
        (Method::PUT, "/api/v1/search", "GET,HEAD"),
        (Method::GET, "/api/v1/users/login", "POST"),
        (Method::PATCH, "/health/live", "GET,HEAD"),
        (
            Method::from_bytes(b"BREW").unwrap(),
            "/api/v1/products",
            "GET,HEAD,POST",
        ),
        (Method::TRACE, "/api/v1/products", "GET,HEAD,POST"),
        (Method::OPTIONS, "/api/v1/products", "GET,HEAD,POST"),
    ] {
        let what = format!("{method} {path}");
        let answer = shop.ask(method.clone(), path).send().await.unwrap();
        let allow = answer.headers()["allow"].to_str().unwrap();
        let mut methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods.join(","), allowed, "{what}");
        Refusal::of(what, shop.ask(method, path))
            .await
            .is(405, "method-not-allowed");
    }
    for (path, status) in [
        ("/api/v1/products/no-id/discontinue", 400),
        (&format!("/api/v1/products/{NO_ID}/discontinue"), 404),
        ("/api/v1/users/no-id/deactivate", 400),
        (&format!("/api/v1/users/{NO_ID}/deactivate"), 404),
        ("/api/v1/inventory/Store%201/NK-1/receive", 400),
        ("/api/v1/inventory/store-1/N%20K/receive", 400),
    ] {
        let request = shop.ask(Method::POST, path);
        let request = if path.ends_with("receive") {
            request
                .header("idempotency-key", "wrong-3")
                .json(&json!({"quantity": 1}))
        } else {
            request
        };
        let refusal = Refusal::of(path, request).await;
        refusal.check(&status.to_string(), refusal.status == status);
    }
}

/// What a server says to these bytes before it closes the connection.
async fn told(shop: &Shop, bytes: &[u8]) -> String {
    let address = shop.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may close before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(ANSWER_MAX, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("an answer or the end");
    String::from_utf8_lossy(&answer).into_owned()
}

pub(super) async fn what_is_not_http_is_closed(shop: &Shop) {
    let long = "x".repeat(500_000);
    let token = shop.admin.token().unwrap();
    let post = format!(
        "POST /api/v1/products HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n"
    );
    let close = "Connection: close\r\n\r\n";
    for (what, bytes, statuses) in [
        (
            "no host",
            format!("GET /api/v1/products HTTP/1.1\r\n{close}"),
            &["400"][..],
        ),
        (
            "two hosts",
            format!("GET /api/v1/products HTTP/1.1\r\nHost: a\r\nHost: b\r\n{close}"),
            &["400"],
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned(), &["400", ""]),
        (
            "TLS",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".repeat(20),
            &["400", ""],
        ),
        (
            "HTTP/2",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
            &["400", "505", ""],
        ),
        (
            "U+0000 in a header",
            format!("GET / HTTP/1.1\r\nHost: x\r\nA: a\u{0}b\r\n{close}"),
            &["400", ""],
        ),
        (
            "a header without end",
            format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n{close}"),
            &["431", ""],
        ),
        (
            "many headers",
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}{close}",
                "A: b\r\n".repeat(20_000)
            ),
            &["431", ""],
        ),
        (
            "a long address",
            format!("GET /{long} HTTP/1.1\r\nHost: x\r\n{close}"),
            &["414", "431", ""],
        ),
        (
            "CONNECT",
            format!("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n{close}"),
            &["400", "404", "405"],
        ),
        (
            "*",
            format!("OPTIONS * HTTP/1.1\r\nHost: x\r\n{close}"),
            &["400", "404", "405"],
        ),
        (
            "a negative length",
            format!("{post}Content-Length: -1\r\n\r\n"),
            &["400", ""],
        ),
        (
            "two lengths",
            format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{{}}"),
            &["400", ""],
        ),
        (
            "a length and chunks",
            format!("{post}Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            &["400", ""],
        ),
        (
            "a body in chunks of rubbish",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\nnothing\r\n"),
            &["400", ""],
        ),
        (
            "a chunk beyond all",
            format!("{post}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{{}}"),
            &["400", "413", ""],
        ),
        (
            "an announced size",
            format!("{post}Content-Length: 99999999\r\n\r\n{{}}"),
            &["413"],
        ),
    ] {
        let answer = told(shop, bytes.as_bytes()).await;
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        let is_ours = answer.contains("application/problem+json");
        let refusal = Refusal {
            what: what.to_owned(),
            status: status.parse().unwrap_or_default(),
            body: answer.into(),
        };
        let expected = statuses.join(" or ");
        refusal.check(&expected, statuses.contains(&status.as_str()));
        let needs_problem = matches!(status.as_str(), "404" | "405" | "413");
        refusal.check("is a problem", is_ours || !needs_problem);
    }
}
