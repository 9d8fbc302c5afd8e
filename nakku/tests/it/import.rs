//! A catalogue from outside: the verb, and `POST products/import` on the real server.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};
use nix::sys::signal::Signal::{SIGINT, SIGKILL, SIGTERM};
use serde_json::{Value, json};
use testing::{Database, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, Settings, text};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery staple";
/// Unoptimised, on two busy cores.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
/// Requests of the tests under way at once.
const REQUESTS_AT_ONCE: usize = 16;

struct Shop {
    database: Database,
    directory: DataDirectory,
    settings: Settings,
}

impl Shop {
    async fn new() -> Shop {
        let database = testing::database().await;
        let directory = DataDirectory::new();
        let settings = Settings::default()
            .with("DATABASE_URL", &database.url)
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
            .with("NAKKU_DATA_DIR", directory.path());
        settings.succeed("migrate").await;
        Shop {
            database,
            directory,
            settings,
        }
    }

    async fn up(&self) -> (Nakku, Api) {
        let mut up = self.settings.start("up --port 0 --no-seed");
        let url = up.ready().await;
        let admin = Api::new(&url).logged_in(ADMINISTRATOR, PASSWORD).await;
        (up, admin)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The line that an import ends with.
    async fn import(&self, file: &str) -> Value {
        let printed = self
            .settings
            .succeed(&format!("import {file} --output json"))
            .await;
        let last = printed.lines().last().unwrap();
        serde_json::from_str(last).unwrap()
    }

    /// Products in the log, and how many events they have.
    async fn products(&self) -> (i64, i64) {
        sqlx::query_as(
            "select count(distinct payload->>'sku') filter (where event_type = 'product.created'), count(*)
               from events where aggregate_type = 'product'",
        )
        .fetch_one(&self.database.pool)
        .await
        .unwrap()
    }
}

/// SKUs are numbers that differ in many digits: a misspelling of one is not another.
fn sku(number: u32) -> String {
    format!("{}", u64::from(number + 1) * 982_451_653)
}

fn catalogue(count: u32) -> String {
    (0..count)
        .map(|number| {
            let price = json!({"amount_minor": 100 + number, "currency": "EUR"});
            let product = json!({"sku": sku(number), "name": format!("Ware {number}"), "price": price, "maker": number});
            format!("{product}\n")
        })
        .collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

async fn every_product_is_found(api: &Api, count: u32) {
    stream::iter(0..count)
        .for_each_concurrent(REQUESTS_AT_ONCE, async |number| {
            let sku = sku(number);
            let found = api.get(&format!("/search?q={sku}"), &[]).await.expect(200);
            assert_eq!(found.skus().first(), Some(&sku.as_str()), "{}", found.body);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_product_of_a_catalogue_is_found_whoever_keeps_the_read_models() {
    let shop = Shop::new().await;
    // Nothing runs: the verb brings the read models up to date itself.
    let file = shop.file("first.ndjson.gz", &gzip(&catalogue(2_000)));
    let imported = shop.import(&file).await;
    assert_eq!(
        (&imported["created"], &imported["rejected"]),
        (&json!(2_000), &json!(0))
    );
    let projections = shop.settings.succeed("projections --output json").await;
    for model in ["products", "search@"] {
        let row = projections
            .lines()
            .find(|line| line.contains(model))
            .unwrap();
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["position"], imported["position"], "{projections}");
    }

    // A process holds their leases: the verb waits for it.
    let (mut up, api) = shop.up().await;
    every_product_is_found(&api, 2_000).await;
    let file = shop.file("second", catalogue(3_000).as_bytes());
    let imported = shop.import(&file).await;
    assert_eq!(
        (&imported["created"], &imported["unchanged"]),
        (&json!(1_000), &json!(2_000))
    );
    every_product_is_found(&api, 3_000).await;
    let ware = api
        .get(&format!("/products/by-sku/{}", sku(2_999)), &[])
        .await
        .expect(200);
    assert_eq!(ware.body["attributes"], json!({"maker": "2999"}));
    up.stop(SIGTERM).await;
    assert_eq!(shop.products().await, (3_000, 3_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_lines_are_listed_and_make_the_exit_code() {
    let shop = Shop::new().await;
    let file = shop.file(
        "bad.ndjson",
        format!(
            "{}\n{{\"sku\":\"x y\"}}\nnothing\r\n{}",
            catalogue(1),
            catalogue(2)
        )
        .as_bytes(),
    );
    let output = shop.settings.run(&format!("import {file}")).await;
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stdout);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[0].starts_with("line 3: /name: missing field"),
        "{printed}"
    );
    assert!(lines[1].starts_with("line 4: not JSON: "), "{printed}");
    assert!(
        lines[2].contains("created") && lines[2].contains("rejected"),
        "{printed}"
    );
    assert_eq!(shop.products().await.0, 2);

    let output = shop
        .settings
        .run(&format!("import {file} --output json"))
        .await;
    let printed = text(&output.stdout);
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["line"], &lines[0]["errors"][0]["pointer"]),
        (&json!(3), &json!("/name"))
    );
    assert_eq!(
        (&lines[2]["unchanged"], &lines[2]["rejected"]),
        (&json!(3), &json!(2))
    );

    for (line, said) in [
        (
            "import /nowhere/at/all.ndjson",
            "cannot read /nowhere/at/all.ndjson: No such file",
        ),
        ("import /tmp", "cannot read /tmp: it is a directory"),
        ("import", "<FILE>"),
    ] {
        let output = shop.settings.run(line).await;
        assert!(!output.status.success());
        assert!(
            text(&output.stderr).contains(said),
            "{}",
            text(&output.stderr)
        );
    }
    let whole = gzip(&catalogue(5_000));
    let file = shop.file("cut.gz", &whole[..whole.len() / 2]);
    let output = shop.settings.run(&format!("import {file}")).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("ends early"),
        "{}",
        text(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_interrupted_or_killed_goes_on_when_it_is_repeated() {
    let shop = Shop::new().await;
    let all = catalogue(4_000);
    for (signal, lines) in [(SIGINT, 500), (SIGKILL, 1_500)] {
        let part: String = all
            .lines()
            .take(lines)
            .map(|line| format!("{line}\n"))
            .collect();
        let half_a_line = &all.lines().nth(lines).unwrap()[..20];
        let (mut import, _open) = shop
            .settings
            .start_reading("import -", format!("{part}{half_a_line}").as_bytes())
            .await;
        let expected = i64::try_from(lines).unwrap();
        until("all that was sent is in the log", ARRIVAL_MAX, async || {
            shop.products().await.0 == expected
        })
        .await;
        let status = import.end(signal).await;
        if signal == SIGINT {
            assert_eq!(status.code(), Some(1));
            let said = import.written().await;
            assert!(
                said.contains("interrupted: 500 lines are accepted"),
                "{said}"
            );
        }
    }
    // What comes compressed to standard input is noticed too.
    let (mut import, open) = shop
        .settings
        .start_reading("import - --output json", &gzip(&all))
        .await;
    drop(open);
    assert!(import.ended().await.success(), "{}", import.complaints());
    let summary: Value = serde_json::from_str(&format!("{{{}", import.said("{").await)).unwrap();
    assert_eq!(
        (&summary["created"], &summary["unchanged"]),
        (&json!(2_500), &json!(1_500))
    );
    assert_eq!(shop.products().await, (4_000, 4_000));
}

/// A raw connection on which an import was begun.
async fn begun(api: &Api, token: &str, announced: usize) -> TcpStream {
    let host = api.url().strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /api/v1/products/import HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: {announced}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

/// Sends a body of so many lines, and returns its length and what was answered.
async fn upload(
    api: &Api,
    token: &str,
    lines: impl ExactSizeIterator<Item = String> + Clone,
) -> (u64, String) {
    let length: usize = lines.clone().map(|line| line.len()).sum();
    let mut connection = begun(api, token, length).await;
    for line in lines {
        connection.write_all(line.as_bytes()).await.unwrap();
    }
    let length = length.try_into().unwrap();
    (length, answered(&mut connection).await)
}

async fn answered(connection: &mut TcpStream) -> String {
    let mut answer = String::new();
    let mut piece = [0; 4_096];
    while !answer.contains("rejected_total") {
        let count = connection.read(&mut piece).await.unwrap();
        assert!(count > 0, "{answer}");
        answer.push_str(&text(&piece[..count]));
    }
    answer
}

async fn token(api: &Api) -> String {
    let login = json!({"email": ADMINISTRATOR, "password": PASSWORD});
    let answer = api.post("/users/login", &[], &login).await.expect(200);
    answer.body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_cut_off_leaves_what_was_accepted_and_others_are_served_meanwhile() {
    let shop = Shop::new().await;
    let (mut up, api) = shop.up().await;
    let token = token(&api).await;
    // Far longer than any other body may be.
    let all = catalogue(6_000);
    assert!(all.len() > 512 * 1024);
    let (first, rest) = all.split_at(all.len() / 2);

    let mut connection = begun(&api, &token, all.len()).await;
    connection.write_all(first.as_bytes()).await.unwrap();
    let whole_lines = i64::try_from(first.matches('\n').count()).unwrap();
    until("what came is in the log", ARRIVAL_MAX, async || {
        shop.products().await.0 == whole_lines
    })
    .await;
    let price = json!({"amount_minor": 1, "currency": "EUR"});
    let other = json!({"sku": "OTHER", "name": "Of another client", "price": price});
    api.post("/products", &[], &other).await.expect(201);
    drop(connection);

    let mut connection = begun(&api, &token, all.len()).await;
    connection.write_all(first.as_bytes()).await.unwrap();
    connection.write_all(rest.as_bytes()).await.unwrap();
    let answer = answered(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.contains(&format!("\"unchanged\":{whole_lines},")),
        "{answer}"
    );
    let position = answer
        .lines()
        .find_map(|line| line.strip_prefix("nakku-position: "))
        .unwrap();
    let last = api
        .get(
            &format!("/search?q={}", sku(5_999)),
            &[("nakku-min-position", position)],
        )
        .await
        .expect(200);
    assert_eq!(last.skus().first(), Some(&sku(5_999).as_str()));
    assert_eq!(shop.products().await, (6_001, 6_001), "every product once");
    up.stop(SIGTERM).await;
}

/// Products of long descriptions, again and again.
fn wordy(lines: u32) -> impl ExactSizeIterator<Item = String> + Clone {
    let description = "Grown with care. ".repeat(200);
    (0..lines).map(move |number| {
        let price = json!({"amount_minor": 100, "currency": "EUR"});
        let product = json!({"sku": sku(number % WORDY), "name": "Ware", "price": price, "description": description});
        format!("{product}\n")
    })
}

const WORDY: u32 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_import_takes_no_more_memory() {
    let shop = Shop::new().await;
    let created = format!("create-admin {ADMINISTRATOR}");
    shop.settings.succeed(&created).await;
    // By itself: in one process with the read models it would be their memory that is measured.
    let mut role = shop.settings.start("command-api --listen 127.0.0.1:0");
    let api = Api::new(&role.ready().await);
    let token = token(&api).await;
    // Everything that is kept of products and of commands under way is there after these.
    upload(&api, &token, wordy(4 * WORDY)).await;

    let before = role.peak_kib();
    let (length, answer) = upload(&api, &token, wordy(12 * WORDY)).await;
    assert!(answer.contains("\"unchanged\":12000,"), "{answer}");
    let grown = role.peak_growth_kib(before) * 1_024;
    println!("{length} bytes, {grown} more at the most");
    assert!(grown < length / 4, "{length} bytes took {grown} of memory");
    role.stop(SIGTERM).await;
}
