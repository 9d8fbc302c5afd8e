//! Both ends of the wire: what a client sends, what an upstream gets, and the way back.

use testing::{UpstreamBehaviour, UpstreamRequest};

use crate::door::{Door, SERVICE_TOKEN};

fn only(door: &Door) -> UpstreamRequest {
    let mut requests = door.upstream.requests();
    assert_eq!(requests.len(), 1, "{requests:#?}");
    requests.remove(0)
}

#[tokio::test]
async fn what_belongs_to_one_connection_ends_at_the_door() {
    let door = Door::open(UpstreamBehaviour::answer(200)).await;
    let answer = door
        .raw(
            "GET /api/v1/search?q=oat%20milk&sort=price HTTP/1.1\r\nHost: shop.example.org\r\n\
             Connection: close, X-Secret\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
             Proxy-Authorization: Basic eA==\r\nTE: trailers\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\
             X-Secret: 1\r\nX-Kept: 2\r\nX-Kept: 3\r\nCookie: a=b\r\n\
             Nakku-Service-Token: guessed\r\nNakku-Hops: 7\r\n\
             X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\
             Nakku-Correlation-Id: 01a2048a-5bdf-768c-94e7-a4e3d4e840c2\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = only(&door);
    assert_eq!(request.target, "/api/v1/search?q=oat%20milk&sort=price");
    for gone in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "expect",
        "x-secret",
        "transfer-encoding",
    ] {
        assert!(request.values(gone).is_empty(), "{gone}: {request:?}");
    }
    for (name, expected) in [
        ("x-kept", vec!["2", "3"]),
        ("cookie", vec!["a=b"]),
        ("nakku-service-token", vec![SERVICE_TOKEN]),
        ("nakku-hops", vec!["1"]),
        ("x-forwarded-for", vec!["127.0.0.1"]),
        ("forwarded", vec!["for=127.0.0.1"]),
        (
            "nakku-correlation-id",
            vec!["01a2048a-5bdf-768c-94e7-a4e3d4e840c2"],
        ),
    ] {
        assert_eq!(request.values(name), expected, "{name}");
    }
    let host = door.upstream.url();
    assert_eq!(
        request.values("host"),
        [host.strip_prefix("http://").unwrap()]
    );
    assert_eq!(request.values("nakku-timeout-ms").len(), 1);
    assert_eq!(request.values("traceparent").len(), 1);
}

#[tokio::test]
async fn an_absolute_form_and_trailers_do_not_pass() {
    let door = Door::open(UpstreamBehaviour::answer(200)).await;
    let token = door.token();
    let answer = door
        .raw(&format!(
            "POST http://elsewhere.example.org/api/v1/products/p1/change-price?x=1 HTTP/1.1\r\nHost: shop.example.org\r\n\
             Authorization: Bearer {token}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n\
             5\r\n{{\"a\":\r\n2\r\n1}}\r\n0\r\nX-Late: 1\r\n\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = only(&door);
    assert_eq!(request.target, "/api/v1/products/p1/change-price?x=1");
    assert_eq!(request.body_bytes, 7);
    assert!(request.values("trailer").is_empty() && request.values("x-late").is_empty());
}

#[tokio::test]
async fn nothing_is_smuggled_past_the_door() {
    let door = Door::open(UpstreamBehaviour::answer(200)).await;
    let inner = "GET /internal/products?sku=A HTTP/1.1\r\nHost: a\r\n\r\n";
    // Both lengths: the chunks count, and the connection ends (RFC 9112, 6.1).
    let both = format!(
        "POST /api/v1/users/login HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\n{inner}",
        5 + inner.len()
    );
    let answer = door.raw(&both).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    for malformed in [
        "POST /api/v1/users/login HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /api/v1/users/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /api/v1/users/login HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    ] {
        let answer = door.raw(malformed).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    for request in door.upstream.requests() {
        assert_eq!(request.target, "/api/v1/users/login");
    }
}

#[tokio::test]
async fn between_services_is_between_services() {
    let door = Door::open(UpstreamBehaviour::answer(200)).await;
    for path in [
        "/internal/products?sku=A",
        "/internal/users/u1",
        "//internal/products?sku=A",
        "/api/v1/../../internal/products",
        "/api/v1/%2e%2e/internal/products",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = door.raw(&request).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    assert!(door.upstream.requests().is_empty());
}

#[tokio::test]
async fn an_answer_leaves_its_connection_behind() {
    let answer = UpstreamBehaviour::answer(201)
        .header("Connection", "close, X-Inner")
        .header("X-Inner", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Location", "/api/v1/orders/o1")
        .header("ETag", "\"1\"")
        .header("Nakku-Position", "4711")
        .body("{}");
    let door = Door::open(answer).await;
    let request = door.post("/api/v1/orders").header("idempotency-key", "k");
    let answer = request.body("{}").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let headers = answer.headers();
    for gone in ["x-inner", "keep-alive"] {
        assert!(headers.get(gone).is_none(), "{gone}");
    }
    for (name, value) in [
        ("location", "/api/v1/orders/o1"),
        ("etag", "\"1\""),
        ("nakku-position", "4711"),
        ("cache-control", "private, no-cache"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(headers.contains_key("nakku-correlation-id"));
}
