//! More than there should be: connections that do nothing, requests beyond what can be carried out, log-ins; and an end in
//! the middle of it.

use std::time::{Duration, Instant};

use futures::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal::SIGTERM;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use testing::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, STOP_MAX, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";
/// Below the time after which a connection without a request is closed anyway.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Connections that do nothing, of each kind.
const IDLE: usize = 1_000;

struct Shop {
    up: Nakku,
    url: String,
    _directory: DataDirectory,
}

impl Shop {
    async fn open(settings: Settings) -> Shop {
        let directory = DataDirectory::new();
        let settings = settings
            .with("NAKKU_DATA_DIR", directory.path())
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
            .with("NAKKU_LOG", "warn");
        let mut up = settings.start("up --port 0 --no-seed");
        let url = up.ready().await;
        Shop {
            up,
            url,
            _directory: directory,
        }
    }

    async fn connect(&self) -> TcpStream {
        let address = self.url.strip_prefix("http://").unwrap();
        TcpStream::connect(address).await.unwrap()
    }

    /// Connections that each have sent these bytes, and nothing more.
    async fn connections(&self, count: usize, sent: &[u8]) -> Vec<TcpStream> {
        let mut connections = Vec::new();
        for _ in 0..count {
            let mut connection = self.connect().await;
            // One that had to give way already takes nothing.
            let _ = connection.write_all(sent).await;
            connections.push(connection);
        }
        connections
    }

    /// A request on a connection of its own.
    async fn is_answered(&self, what: &str) {
        let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let asked = client.get(format!("{}/api/v1/products", self.url)).send();
        let answer = timeout(ANSWER_MAX, asked).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("no answer {what}"))
            .unwrap();
        assert_eq!(answer.status(), 200, "{what}");
    }
}

/// Each connection is a file of the test, too.
fn allow_open_files() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let needed = 4 * IDLE as u64;
    assert!(hard >= needed, "{needed} open files are needed");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(needed), hard).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_nothing_stop_nobody() {
    allow_open_files();
    // Fewer places than there are connections.
    let settings = Settings::default().with("NAKKU_CONNECTIONS_MAX", "1500");
    let mut shop = Shop::open(settings).await;
    let silent = shop.connections(IDLE, b"").await;
    shop.is_answered("beside silent connections").await;
    let half = b"GET /api/v1/products HTTP/1.1\r\nHost: x\r\nX-Slow: ";
    let half = shop.connections(IDLE, half).await;
    for _ in 0..20 {
        shop.is_answered("beside connections with half a head")
            .await;
    }
    let slow = "POST /api/v1/users/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
        Content-Length: 100\r\n\r\n{";
    let slow = shop.connections(IDLE / 2, slow.as_bytes()).await;
    for _ in 0..20 {
        shop.is_answered("beside half a body").await;
    }
    let last = slow.into_iter().next_back().unwrap();
    let answer = timeout(ANSWER_MAX, read_to_end(last)).await.unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "a body that does not come: {answer}"
    );
    drop((silent, half));
    shop.up.stop(SIGTERM).await;
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_refused_at_once_and_what_is_taken_is_carried_out() {
    const CLIENTS: usize = 64;
    const EACH: usize = 5;
    let settings = Settings::default().with("NAKKU_REQUESTS_MAX", "4");
    let mut shop = Shop::open(settings).await;
    let admin = Api::new(&shop.url).logged_in(ADMINISTRATOR, PASSWORD).await;
    let before = head(&admin).await;
    let client = |number: usize| {
        let admin = &admin;
        async move {
            let mut refused = 0;
            for product in 0..EACH {
                refused += create(admin, &format!("NK-{number}-{product}")).await;
            }
            refused
        }
    };
    let refused: Vec<usize> = join_all((0..CLIENTS).map(client)).await;
    let refused: usize = refused.iter().sum();
    assert!(
        refused > CLIENTS,
        "{refused} of {CLIENTS} at once with room for 4"
    );
    // Each once, however often it was refused: the product and the claim of its SKU.
    let products = i64::try_from(CLIENTS * EACH).unwrap();
    assert_eq!(head(&admin).await, before + products * 2);
    println!("{products} created, {refused} refused meanwhile");
    shop.up.stop(SIGTERM).await;
}

/// Creates a product, as often as it takes; how often that was refused.
async fn create(admin: &Api, sku: &str) -> usize {
    let body = json!({"sku": sku, "name": "Ale", "price": {"amount_minor": 1, "currency": "EUR"}});
    let end = Instant::now() + STOP_MAX;
    let mut refused = 0;
    loop {
        let began = Instant::now();
        let answer = admin.post("/products", &[], &body).await;
        if answer.status == StatusCode::CREATED {
            return refused;
        }
        let answer = answer.expect(503);
        assert_eq!(answer.body["code"], "overloaded");
        assert_eq!(answer.header("retry-after"), "1");
        // At once, on a machine that has much to do.
        assert!(began.elapsed() < ANSWER_MAX, "{:?}", began.elapsed());
        assert!(Instant::now() < end, "{sku} was never taken");
        refused += 1;
        // Its advice would do; coming back sooner presses harder.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn head(admin: &Api) -> i64 {
    let outbox = admin.get("/admin/outbox", &[]).await.expect(200);
    outbox.body["head"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_ins_costs_bounded_memory_and_tells_nobody_who_is_there() {
    const FLOOD: usize = 400;
    /// A hash takes 19 MiB, and there are as many at a time as processors; the rest is requests, connections and the pages
    /// that the allocator keeps for each thread.
    const SLACK_KIB: u64 = 128 * 1024;
    const HASH_KIB: u64 = 19 * 1024;
    let mut shop = Shop::open(Settings::default()).await;
    let client = Client::new();
    let log_in = |email: String| {
        let body = json!({"email": email, "password": "not my password"});
        let asked = client
            .post(format!("{}/api/v1/users/login", shop.url))
            .json(&body);
        async move { asked.send().await.unwrap() }
    };
    for round in 0..3 {
        let answer = log_in(format!("warm-{round}@example.org")).await;
        assert_eq!(answer.status(), 401);
    }
    let before = shop.up.peak_kib();
    let flood = (0..FLOOD).map(|number| log_in(format!("nobody-{number}@example.org")));
    let answers: Vec<Response> = join_all(flood).await;
    let refused = answers.iter().filter(|answer| answer.status() == 503);
    let (refused, answered) = (
        refused.count(),
        answers.iter().filter(|a| a.status() == 401).count(),
    );
    assert_eq!(refused + answered, FLOOD);
    assert!(
        refused > 0 && answered > 0,
        "{refused} refused, {answered} answered"
    );
    for answer in answers.iter().filter(|answer| answer.status() == 503) {
        assert!(answer.headers().contains_key("retry-after"));
    }
    let processors = std::thread::available_parallelism().unwrap().get() as u64;
    let grown = shop.up.peak_growth_kib(before);
    assert!(
        grown < processors * HASH_KIB + SLACK_KIB,
        "{grown} KiB more"
    );

    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    // Fewer than the wrong passwords that an account takes before it has to wait.
    for round in 0..15 {
        known.push(time(log_in(ADMINISTRATOR.to_owned())).await);
        unknown.push(time(log_in(format!("stranger-{round}@example.org"))).await);
    }
    let (known, unknown) = (median(known), median(unknown));
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!(
        (0.5..2.0).contains(&ratio),
        "{known:?} for a user, {unknown:?} for nobody"
    );
    println!(
        "{answered} of {FLOOD} answered, {grown} KiB more; a user {known:?}, nobody {unknown:?}"
    );
    shop.up.stop(SIGTERM).await;
}

async fn time(asked: impl Future<Output = Response>) -> Duration {
    let began = Instant::now();
    assert_eq!(asked.await.status(), 401);
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_at_the_end_is_finished() {
    let mut shop = Shop::open(Settings::default()).await;
    let body = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD}).to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let mut stream = shop.connect().await;
    let head = format!(
        "POST /api/v1/users/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // Said once somebody reads the body: the request is under way.
    let mut told = [0; 25];
    timeout(ANSWER_MAX, stream.read_exact(&mut told))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(first.as_bytes()).await.unwrap();
    shop.up.signal(SIGTERM);

    let address = shop.url.strip_prefix("http://").unwrap().to_owned();
    until("new connections are refused", ANSWER_MAX, async || {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    stream.write_all(rest.as_bytes()).await.unwrap();
    let answer = timeout(ANSWER_MAX, read_to_end(stream)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["version"], 1);
    let status = shop.up.ended().await;
    assert!(status.success(), "{status}");
}
