//! Load through the gateway while the instances behind it are killed, one after the other: nobody who may be repeated notices,
//! and no command happens twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use nix::sys::signal::Signal::SIGKILL;
use serde_json::{Value, json};

use crate::api::Api;
use crate::process::Nakku;
use crate::story_gateway::{Installation, Shop};

/// Set for minutes instead of seconds.
const LONG: &str = "NAKKU_FAULTS_LONG";
const KILLS_SHORT: usize = 4;
const KILLS_LONG: usize = 60;
/// Clients at once of each kind.
const CLIENTS: usize = 4;
/// Requests between a restart and the next kill: the instance that came back takes part again.
const BETWEEN_KILLS: u64 = 200;
const PATH: &str = "/inventory/store-1/KEG-1/receive";

/// Answers by kind, and what was not one.
#[derive(Default)]
struct Answers {
    commands: AtomicU64,
    queries: AtomicU64,
    is_over: AtomicBool,
}

impl Answers {
    fn all(&self) -> u64 {
        self.commands.load(Ordering::Relaxed) + self.queries.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// One piece a command, each under a key of its own.
async fn receive(staff: Api, client: usize, answers: Arc<Answers>) {
    for number in 0.. {
        if answers.is_over() {
            return;
        }
        let key = format!("keg-{client}-{number}");
        let headers = [("Idempotency-Key", key.as_str())];
        let answer = staff.post(PATH, &headers, &json!({"quantity": 1})).await;
        assert!(answer.status.is_success(), "{key}: {:#}", answer.body);
        answers.commands.fetch_add(1, Ordering::Relaxed);
    }
}

async fn look(api: Api, answers: Arc<Answers>) {
    while !answers.is_over() {
        let answer = api.get("/inventory/store-1", &[]).await;
        assert_eq!(answer.status.as_u16(), 200, "{:#}", answer.body);
        answers.queries.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until so many more were answered; the load fails by itself where one is not.
async fn more(answers: &Answers, load: &tokio::task::JoinSet<()>) {
    let until = answers.all() + BETWEEN_KILLS;
    testing::until(
        "requests are answered",
        crate::process::START_MAX,
        async || answers.all() >= until || load.len() < 2 * CLIENTS,
    )
    .await;
}

async fn killed_and_started(
    installation: &Installation,
    role: &str,
    instance: &mut (Nakku, String),
) {
    instance.0.end(SIGKILL).await;
    let address = instance.1.strip_prefix("http://").unwrap();
    let line = format!("{role} --listen {address}");
    instance.0 = installation.start(&line).await.0;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_behind_the_gateway_fail_nobody_and_repeat_no_command() {
    let kills = match std::env::var_os(LONG) {
        Some(_) => KILLS_LONG,
        None => KILLS_SHORT,
    };
    let installation = Installation::new().await;
    let mut shop = Shop::open(&installation).await;
    let staff = shop.staff().await;
    let answers = Arc::new(Answers::default());
    let mut load = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        load.spawn(receive(staff.clone(), client, Arc::clone(&answers)));
        load.spawn(look(shop.api.clone(), Arc::clone(&answers)));
    }
    for kill in 0..kills {
        more(&answers, &load).await;
        let instance = kill / 2 % 2;
        match kill % 2 {
            0 => {
                let instance = &mut shop.commands[instance];
                killed_and_started(&installation, "command-api", instance).await;
            }
            _ => {
                let instance = &mut shop.queries[instance];
                killed_and_started(&installation, "query-api", instance).await;
            }
        }
    }
    more(&answers, &load).await;
    answers.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
    // Once more, with a position that everything before it is at.
    let last = staff
        .post(
            PATH,
            &[("Idempotency-Key", "last")],
            &json!({"quantity": 1}),
        )
        .await
        .expect(200);
    let seen = [("Nakku-Min-Position", last.position())];
    let stock = shop.api.get("/inventory/store-1/KEG-1", &seen).await;
    let stock = stock.expect(200).body;
    let commands = answers.commands.load(Ordering::Relaxed) + 1;
    println!(
        "{kills} kills: {commands} commands and {} queries, none failed",
        answers.queries.load(Ordering::Relaxed)
    );
    assert_eq!(stock["on_hand"], Value::from(commands), "each key once");
    shop.close().await;
}
