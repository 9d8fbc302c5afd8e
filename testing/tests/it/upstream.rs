//! The upstream does what its table says, as seen by a socket.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use testing::{ClosedBy, UpstreamBehaviour, UpstreamProcess, until};

/// Whatever a test waits for must have come by then.
const DEADLINE: Duration = Duration::from_secs(10);
/// Nothing came for so long: enough to fail a server that answers, and only that depends on it.
const SILENCE: Duration = Duration::from_millis(100);

const GET: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

struct Site {
    upstream: UpstreamProcess,
    _dir: TempDir,
}

impl Site {
    fn with(behaviour: &UpstreamBehaviour) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            upstream: UpstreamProcess::start(dir.path(), behaviour),
            _dir: dir,
        }
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.upstream.port()).into()
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Client(BufReader::new(stream))
    }

    /// The whole answer to a request on a connection of its own.
    fn ask(&self, request: &str) -> Answer {
        let mut client = self.client();
        client.send(request);
        client.answer()
    }

    async fn closed_by(&self, who: ClosedBy) {
        until("the connection is closed", DEADLINE, async || {
            let connections = self.upstream.connections();
            let closed = connections.last().and_then(|last| last.closed);
            closed.is_some_and(|(by, _)| by == who)
        })
        .await;
    }
}

struct Client(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: Vec<String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.iter().find_map(|line| line.strip_prefix(&prefix))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Client {
    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap().to_owned()
    }

    fn head(&mut self) -> Answer {
        let status = self.line();
        let status = status.strip_prefix("HTTP/1.1 ").unwrap()[..3]
            .parse()
            .unwrap();
        let lines = std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty()));
        Answer {
            status,
            head: lines.collect(),
            body: String::new(),
        }
    }

    fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.header("Transfer-Encoding") == Some("chunked") {
            while let chunk = self.chunk()
                && !chunk.is_empty()
            {
                answer.body += &chunk;
            }
        } else if let Some(length) = answer.header("Content-Length") {
            answer.body = self.exactly(length.parse().unwrap());
        }
        answer
    }

    fn chunk(&mut self) -> String {
        let length = usize::from_str_radix(&self.line(), 16).unwrap();
        let chunk = self.exactly(length);
        assert_eq!(self.line(), "");
        chunk
    }

    fn exactly(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// All that comes before the end, and whether that is a reset.
    fn rest(&mut self) -> (String, bool) {
        let mut rest = Vec::new();
        let is_reset = match self.0.read_to_end(&mut rest) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                true
            }
        };
        (String::from_utf8(rest).unwrap(), is_reset)
    }

    fn hears_nothing(&mut self) {
        let stream = self.0.get_mut();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        let error = stream.read(&mut [0]).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
    }
}

fn post(key: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /orders HTTP/1.1\r\nHost: x\r\nIdempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn an_answer_has_its_status_its_headers_and_its_body() {
    let answer = UpstreamBehaviour::answer(201)
        .header("X-Twice", "one")
        .header("X-Twice", "other")
        .body("hello");
    let mut site = Site::with(&answer);
    let mut client = site.client();
    client.send(GET);
    let answered = client.answer();
    assert_eq!(answered.status, 201);
    assert_eq!(
        answered.head,
        ["X-Twice: one", "X-Twice: other", "Content-Length: 5"]
    );
    assert_eq!(answered.body, "hello");

    client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.head().header("Content-Length"), Some("5"));
    site.upstream.behave(&answer.chunked());
    client.send(GET);
    assert_eq!(client.answer().body, "hello");
    for large in [
        UpstreamBehaviour::answer(200).body_bytes(200_000),
        UpstreamBehaviour::answer(200).body_bytes(200_000).chunked(),
    ] {
        site.upstream.behave(&large);
        client.send(GET);
        assert_eq!(client.answer().body, "x".repeat(200_000));
    }
    site.upstream.behave(&UpstreamBehaviour::answer(304));
    client.send(GET);
    assert_eq!(client.answer().header("Content-Length"), None);

    client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n");
    assert_eq!(client.answer().header("Connection"), Some("close"));
    assert_eq!(client.rest(), (String::new(), false));
    let connections = site.upstream.connections();
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert_eq!(connections[0].closed.unwrap().0, ClosedBy::Upstream);
    assert_eq!(site.upstream.requests().len(), 7);
}

#[test]
fn a_delayed_answer_comes_no_earlier() {
    let delay = Duration::from_millis(80);
    let site = Site::with(&UpstreamBehaviour::answer(200).delay(delay));
    let begin = Instant::now();
    assert_eq!(site.ask(GET).status, 200);
    assert!(begin.elapsed() >= delay);
}

#[test]
fn a_problem_names_its_code() {
    let overloaded = UpstreamBehaviour::problem(503, "overloaded");
    let mut site = Site::with(&overloaded.clone().header("Retry-After", "3"));
    let answer = site.ask(GET);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("Retry-After"), Some("3"));
    assert_eq!(
        answer.header("Content-Type"),
        Some("application/problem+json")
    );
    let problem = answer.json();
    assert_eq!(problem["code"], "overloaded");
    assert_eq!(problem["type"], "/problems/overloaded");
    assert_eq!(problem["status"], 503);
    site.upstream.behave(&overloaded);
    assert_eq!(site.ask(GET).header("Retry-After"), None);
    site.upstream.behave(&UpstreamBehaviour::answer(503));
    assert_eq!(site.ask(GET).body, "");
}

#[tokio::test]
async fn a_silent_one_takes_the_request_and_notices_who_goes() {
    let site = Site::with(&UpstreamBehaviour::silent());
    let mut client = site.client();
    client.send(&post("k", "{}"));
    client.hears_nothing();
    assert_eq!(site.upstream.requests().len(), 1);
    assert_eq!(site.upstream.effects().len(), 1);
    assert_eq!(site.upstream.open(), 1);
    drop(client);
    site.closed_by(ClosedBy::Client).await;
    assert_eq!(site.upstream.open(), 0);
}

#[test]
fn whoever_connects_while_nobody_accepts_hangs() {
    let mut site = Site::with(&UpstreamBehaviour::answer(200));
    let mut before = site.client();
    before.send(GET);
    assert_eq!(before.answer().status, 200);
    site.upstream.accept(false);
    let error = TcpStream::connect_timeout(&site.address(), SILENCE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    before.send(GET);
    assert_eq!(before.answer().status, 200);

    site.upstream.accept(true);
    assert_eq!(site.ask(GET).status, 200);
    // None that the full queue was made of is among them.
    assert_eq!(site.upstream.connections().len(), 2);
    site.upstream.accept(false);
    site.upstream.restart();
    assert!(TcpStream::connect_timeout(&site.address(), SILENCE).is_err());
}

#[test]
fn a_reset_comes_instead_of_the_answer_or_in_the_middle_of_it() {
    let mut site = Site::with(&UpstreamBehaviour::reset());
    let mut client = site.client();
    client.send(&post("k", "{}"));
    assert_eq!(client.rest(), (String::new(), true));
    assert_eq!(site.upstream.requests().len(), 1);
    assert_eq!(site.upstream.effects().len(), 1);

    site.upstream
        .behave(&UpstreamBehaviour::reset_midway(1_000));
    let mut client = site.client();
    client.send(GET);
    assert_eq!(client.head().header("Content-Length"), Some("1000"));
    assert_eq!(client.rest(), ("x".repeat(500), true));
}

#[test]
fn an_end_comes_instead_of_the_answer_or_in_the_middle_of_it() {
    let mut site = Site::with(&UpstreamBehaviour::hang_up());
    let mut client = site.client();
    client.send(GET);
    assert_eq!(client.rest(), (String::new(), false));

    let midway = UpstreamBehaviour::hang_up_midway(1_000);
    site.upstream.behave(&midway);
    let mut client = site.client();
    client.send(GET);
    assert_eq!(client.head().header("Content-Length"), Some("1000"));
    assert_eq!(client.rest(), ("x".repeat(500), false));
}

#[tokio::test]
async fn connections_without_a_request_are_closed_in_time() {
    let idle = Duration::from_millis(80);
    let slow = UpstreamBehaviour::answer(200).delay(idle * 2);
    let mut site = Site::with(&slow);
    let mut silent = site.client();
    let mut used = site.client();
    used.send(GET);
    until("the request is there", DEADLINE, async || {
        !site.upstream.requests().is_empty()
    })
    .await;
    site.upstream.close_idle_after(Some(idle));
    // It is not idle while it waits for its answer.
    assert_eq!(used.answer().status, 200);
    assert_eq!(used.rest(), (String::new(), false));
    assert_eq!(silent.rest(), (String::new(), false));

    let closed: Vec<_> = site
        .upstream
        .connections()
        .iter()
        .map(|connection| connection.closed.unwrap())
        .collect();
    assert!(closed.iter().all(|(by, _)| *by == ClosedBy::Idle));
    let after_request = closed[1].1 - site.upstream.requests()[0].at;
    // Its wall clock may have been set a little.
    assert!(after_request > (idle * 3).as_secs_f64() - 0.02);
    site.upstream.close_idle_after(None);
    site.client().hears_nothing();
}

#[test]
fn a_command_in_flight_is_refused_until_it_is_done() {
    let site = Site::with(&UpstreamBehaviour::in_flight(2));
    for _ in 0..2 {
        let answer = site.ask(&post("one", "{}"));
        assert_eq!(answer.status, 409);
        assert_eq!(answer.json()["code"], "command-in-flight");
    }
    assert_eq!(site.upstream.effects(), []);
    assert_eq!(site.ask(&post("one", "{}")).status, 201);
    assert_eq!(site.ask(&post("other", "{}")).status, 409);
    let effects = site.upstream.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].key.as_deref(), Some("one"));
}

#[test]
fn one_that_flaps_behaves_in_turn() {
    let site = Site::with(&UpstreamBehaviour::in_turn([
        UpstreamBehaviour::answer(200),
        UpstreamBehaviour::hang_up(),
        UpstreamBehaviour::answer(503),
    ]));
    for _ in 0..2 {
        assert_eq!(site.ask(GET).status, 200);
        let mut client = site.client();
        client.send(GET);
        assert_eq!(client.rest(), (String::new(), false));
        assert_eq!(site.ask(GET).status, 503);
    }
}

#[tokio::test]
async fn events_come_until_the_client_goes() {
    let site = Site::with(&UpstreamBehaviour::events(Duration::from_millis(5)));
    let mut client = site.client();
    client.send(GET);
    let head = client.head();
    assert_eq!(head.header("Content-Type"), Some("text/event-stream"));
    for number in 1..4 {
        assert_eq!(client.chunk(), format!(": {number}\n\n"));
    }
    assert_eq!(site.upstream.listening(), 1);
    drop(client);
    until("nobody listens", DEADLINE, async || {
        site.upstream.listening() == 0
    })
    .await;
    site.closed_by(ClosedBy::Client).await;
}

#[test]
fn an_echo_tells_the_request_as_it_came() {
    let site = Site::with(&UpstreamBehaviour::echo());
    let answer = site.ask(
        "PUT http://y:1/a%2Fb?c=%20 HTTP/1.1\r\nhOsT:  x \r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nX-A: 2\r\nx-a:\r\n\r\n\
         2;e=1\r\nab\r\n1\r\nc\r\n0\r\nX-T: 3\r\n\r\n",
    );
    let sha256: String = Sha256::digest(b"abc")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        answer.json(),
        json!({
            "method": "PUT",
            "target": "http://y:1/a%2Fb?c=%20",
            "header_lines": ["hOsT:  x ", "X-A: 1", "Transfer-Encoding: chunked", "X-A: 2", "x-a:"],
            "trailer_lines": ["X-T: 3"],
            "body_bytes": 3,
            "body_sha256": sha256,
        })
    );
    let request = &site.upstream.requests()[0];
    assert_eq!(request.target, "http://y:1/a%2Fb?c=%20");
    assert_eq!(request.values("x-a"), ["1", "2", ""]);
    assert_eq!(request.values("Host"), ["x"]);
    assert_eq!((request.body_bytes, &request.body_sha256), (3, &sha256));

    let mut client = site.client();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("abc");
    assert_eq!(client.answer().json()["body_sha256"], sha256);
}

#[test]
fn a_slow_reader_slows_its_client_down() {
    let slow = UpstreamBehaviour::answer(200).read_bytes_per_second(100_000);
    let mut site = Site::with(&slow);
    let begin = Instant::now();
    assert_eq!(site.ask(&post("k", &"x".repeat(20_000))).status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert_eq!(site.upstream.requests()[0].body_bytes, 20_000);

    let slower = UpstreamBehaviour::answer(200).read_bytes_per_second(1_000);
    site.upstream.behave(&slower);
    let mut client = site.client();
    client.send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    let stream = client.0.get_mut();
    stream.set_write_timeout(Some(SILENCE)).unwrap();
    let mut taken = 0;
    while let Ok(bytes) = stream.write(&[b'x'; 64 * 1024]) {
        taken += bytes;
        assert!(taken < 50_000_000, "all of it is taken");
    }
}

#[test]
fn a_key_has_one_effect() {
    let mut site = Site::with(&UpstreamBehaviour::answer(201));
    assert_eq!(
        site.ask(&post("a", "{}")).header("Idempotent-Replayed"),
        None
    );
    let again = site.ask(&post("a", "{}"));
    assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
    site.ask(GET);
    site.upstream.restart();
    site.ask(&post("a", "{}"));
    site.upstream.behave(&UpstreamBehaviour::answer(503));
    site.ask(&post("b", "{}"));
    let answered_in_vain = UpstreamBehaviour::answer(503).effect(true);
    site.upstream.behave(&answered_in_vain);
    site.ask(&post("c", "{}"));

    let keys = |site: &Site| -> Vec<_> {
        let effects = site.upstream.effects().into_iter();
        effects.map(|effect| effect.key.unwrap()).collect()
    };
    assert_eq!(keys(&site), ["a", "c"]);
    assert_eq!(site.upstream.effects_and_repetitions().len(), 4);
    let with_key = |request: &testing::UpstreamRequest| request.key.is_some();
    let requests = site.upstream.requests();
    assert_eq!(
        requests.iter().filter(|request| with_key(request)).count(),
        5
    );

    site.upstream.honour_keys(false);
    site.ask(&post("c", "{}"));
    assert_eq!(keys(&site), ["a", "c", "c"]);
}

#[test]
fn a_killed_one_refuses_and_comes_back_at_its_port() {
    let mut site = Site::with(&UpstreamBehaviour::answer(200));
    let mut client = site.client();
    client.send(GET);
    client.answer();
    site.upstream.kill();
    client.rest();
    let error = TcpStream::connect(site.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    // What it is told meanwhile counts from then on.
    site.upstream.behave(&UpstreamBehaviour::answer(204));
    site.upstream.restart();
    assert_eq!(site.ask(GET).status, 204);
    let connections = site.upstream.connections();
    let numbers: Vec<_> = connections.iter().map(|each| each.connection).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(connections[0].closed.unwrap().0, ClosedBy::Killed);
}

#[test]
fn a_paused_one_answers_when_it_goes_on() {
    let site = Site::with(&UpstreamBehaviour::answer(200));
    site.upstream.pause();
    let mut client = site.client();
    client.send(GET);
    client.hears_nothing();
    assert_eq!(site.upstream.requests(), []);
    site.upstream.resume();
    assert_eq!(client.answer().status, 200);
}

#[test]
fn raw_bytes_are_sent_as_they_are() {
    let text = "HTTP/1.1 200 \u{e9}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    let site = Site::with(&UpstreamBehaviour::raw(text, true));
    let mut client = site.client();
    client.send(GET);
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).unwrap();
    let bytes = text
        .chars()
        .map(|character| u8::try_from(character).unwrap());
    assert_eq!(rest, bytes.collect::<Vec<u8>>());
}

#[test]
fn what_is_malformed_is_not_taken_for_a_request() {
    let site = Site::with(&UpstreamBehaviour::answer(200));
    let cases = [
        "GET / HTTP/1.0\r\nHost: x\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX : 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: 1\r\n 2\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: \x001\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\nX: 1\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
        "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ];
    for case in cases {
        let mut client = site.client();
        client.send(case);
        assert_eq!(client.answer().status, 400, "{case:?}");
        assert_eq!(client.rest().0, "");
    }
    assert_eq!(site.upstream.requests(), []);
    for connection in site.upstream.connections() {
        let closed = connection.closed.map(|(by, _)| by);
        assert_eq!(closed, Some(ClosedBy::Malformed));
    }
}

#[test]
#[should_panic(expected = "unknown members ['chunked'] of echo")]
fn a_behaviour_that_is_not_in_the_table_is_refused() {
    let mut site = Site::with(&UpstreamBehaviour::answer(200));
    site.upstream.behave(&UpstreamBehaviour::echo().chunked());
}
