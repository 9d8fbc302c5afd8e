//! The accept loop: time-outs, bounds, drain.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use http_server::{Ctx, EdgeConfig, Server, ServerLimits, detach};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::{Running, within};

/// A handler that tells when it began, waits to be let go and tells when it ended.
#[derive(Clone, Default)]
struct Gate {
    began: Arc<Notify>,
    go: Arc<Notify>,
    ended: Arc<Notify>,
}

impl Gate {
    async fn pass(self) -> &'static str {
        self.began.notify_one();
        self.go.notified().await;
        self.ended.notify_one();
        "done"
    }
}

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut text = String::new();
    within(stream.read_to_string(&mut text)).await.unwrap();
    text
}

fn short() -> ServerLimits {
    ServerLimits {
        header_read: Duration::from_millis(50),
        ..ServerLimits::default()
    }
}

#[tokio::test]
async fn a_half_sent_head_is_cut_off_in_time() {
    let server = Running::start_with(Router::new(), EdgeConfig::default(), short()).await;
    let mut stream = connect(&server).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await
        .unwrap();
    let answer = read_to_end(stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let server = Running::start(Router::new(), EdgeConfig::default()).await;
    let error = Server::bind(server.address).await.unwrap_err();
    assert!(
        error.to_string().contains(&server.address.to_string()),
        "{error}"
    );
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

fn crowded(connections: usize) -> ServerLimits {
    ServerLimits {
        connections,
        ..ServerLimits::default()
    }
}

#[tokio::test]
async fn who_is_being_answered_keeps_the_place_and_others_wait() {
    let gate = Gate::default();
    let router = Router::new()
        .route("/", get(async || "here"))
        .route(
            "/gate",
            get(async |State(gate): State<Gate>| gate.pass().await),
        )
        .with_state(gate.clone());
    let server = Running::start_with(router, EdgeConfig::default(), crowded(1)).await;
    let mut first = connect(&server).await;
    let request = b"GET /gate HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    first.write_all(request).await.unwrap();
    within(gate.began.notified()).await;

    let mut second = connect(&server).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    second.write_all(request).await.unwrap();
    let mut byte = [0];
    // Longer than a connection at rest would have kept its place.
    let early = tokio::time::timeout(Duration::from_millis(1_200), second.peek(&mut byte)).await;
    assert!(early.is_err(), "answered although the only place is taken");
    gate.go.notify_one();
    assert!(read_to_end(first).await.ends_with("done"));
    assert!(read_to_end(second).await.starts_with("HTTP/1.1 200"));
    server.stop().await;
}

#[tokio::test]
async fn who_has_no_request_gives_way_when_all_places_are_taken() {
    let router = Router::new().route("/", get(async || "here"));
    let server = Running::start_with(router, EdgeConfig::default(), crowded(3)).await;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(&request[..20]).await.unwrap();
    let mut answered = connect(&server).await;
    answered.write_all(request).await.unwrap();
    let mut answer = [0; 64];
    let length = within(answered.read(&mut answer)).await.unwrap();
    assert!(length > 0);

    // Each comes to stay.
    let mut clients = Vec::new();
    for mut gives_way in [silent, half, answered] {
        let client = reqwest::Client::new();
        let answer = within(client.get(server.url("/")).send()).await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "here");
        clients.push(client);
        // Whatever was left of an answer, then the end; or a reset.
        let _ = within(gives_way.read_to_end(&mut Vec::new())).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_of_events_is_not_at_rest() {
    use axum::body::{Body, Bytes};
    let router = Router::new().route("/", get(async || "here")).route(
        "/stream",
        get(async || {
            let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from("first"))]);
            let and_nothing_more = futures::stream::pending();
            Body::from_stream(futures::StreamExt::chain(first, and_nothing_more))
        }),
    );
    let server = Running::start_with(router, EdgeConfig::default(), crowded(2)).await;
    let mut stream = reqwest::get(server.url("/stream")).await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "first");
    // Each takes the other place from the one before.
    for _ in 0..3 {
        assert_eq!(server.get("/").await.status(), 200);
    }
    let more = tokio::time::timeout(Duration::from_millis(50), stream.chunk()).await;
    assert!(more.is_err(), "it was cut off");
}

#[tokio::test]
async fn a_running_request_is_answered_before_the_server_stops() {
    let gate = Gate::default();
    let router = Router::new()
        .route("/", get(async |State(gate): State<Gate>| gate.pass().await))
        .with_state(gate.clone());
    let server = Running::start(router, EdgeConfig::default()).await;
    let url = server.url("/");
    let answer = tokio::spawn(async move { reqwest::get(url).await.unwrap().text().await });
    within(gate.began.notified()).await;
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.served.is_finished());
    gate.go.notify_one();
    assert_eq!(within(answer).await.unwrap().unwrap(), "done");
    server.stop().await;
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_head_do_not_hold_the_drain_up() {
    let limits = ServerLimits {
        drain: Duration::from_secs(3_600),
        ..ServerLimits::default()
    };
    let server = Running::start_with(Router::new(), EdgeConfig::default(), limits).await;
    let _silent = connect(&server).await;
    let mut half = connect(&server).await;
    half.write_all(b"GET / HT").await.unwrap();
    // Both are accepted once a third one, behind them, is answered.
    assert_eq!(server.get("/nothing").await.status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn the_drain_is_bounded() {
    let gate = Gate::default();
    let router = Router::new()
        .route("/", get(async |State(gate): State<Gate>| gate.pass().await))
        .with_state(gate.clone());
    let limits = ServerLimits {
        drain: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let server = Running::start_with(router, EdgeConfig::default(), limits).await;
    let mut stream = connect(&server).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    within(gate.began.notified()).await;
    server.stop().await;
    assert_eq!(read_to_end(stream).await, "");
}

async fn client_leaves_while_handler_waits(router: Router<Gate>) {
    let gate = Gate::default();
    let server = Running::start(router.with_state(gate.clone()), EdgeConfig::default()).await;
    let mut stream = connect(&server).await;
    let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request).await.unwrap();
    within(gate.began.notified()).await;
    drop(stream);

    // The drain waits for the command, not for the connection.
    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.served.is_finished());
    gate.go.notify_one();
    server.stop().await;
    within(gate.ended.notified()).await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_a_detached_route() {
    let router = Router::new()
        .route(
            "/",
            post(async |State(gate): State<Gate>| gate.pass().await),
        )
        .route_layer(from_fn(detach));
    client_leaves_while_handler_waits(router).await;
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_cancel_a_detached_future() {
    async fn command(context: Ctx, State(gate): State<Gate>) -> &'static str {
        context.detached(gate.pass()).await
    }
    client_leaves_while_handler_waits(Router::new().route("/", post(command))).await;
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let count = Arc::new(Semaphore::new(0));
    let router = Router::new().route(
        "/",
        get(async |State(count): State<Arc<Semaphore>>| {
            count.add_permits(1);
            "x".repeat(100_000)
        }),
    );
    let server = Running::start(router.with_state(Arc::clone(&count)), EdgeConfig::default()).await;
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let answer = client.get(server.url("/")).send().await.unwrap();
        assert_eq!(answer.content_length(), Some(100_000));
        assert_eq!(answer.text().await.unwrap().len(), 100_000);
    }
    assert_eq!(count.available_permits(), 20);
    server.stop().await;
}
