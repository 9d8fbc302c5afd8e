//! Durable commands per second at 64 clients, beside pgbench's single-row inserts into the same table of the same server, in turns.
//!
//! `make bench`, or `scripts/with-engines cargo bench -p eventstore --bench append`. Absolute figures drift with the machine;
//! the ratio is what counts.

use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{CommandContext, CommandId, EventStore, Keys, Options, Stream};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const CLIENTS: usize = 64;
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 3;

/// What a line of an order looks like: some 300 bytes of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename = "basket.line-added")]
struct LineAdded {
    sku: String,
    name: String,
    quantity: u32,
    amount_minor: i64,
    currency: String,
    store_id: String,
    customer_id: String,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Basket {
    lines: u32,
}

#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("the basket is full")]
struct Full;

impl DomainEvent for LineAdded {
    fn event_type(&self) -> String {
        "basket.line-added".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Basket {
    const TYPE: &'static str = "basket";
    type Command = ();
    type Event = LineAdded;
    type Error = Full;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Full> {
        Ok(())
    }

    fn apply(&mut self, event: LineAdded) {
        self.lines += event.quantity;
    }
}

fn line(customer: &Uuid) -> LineAdded {
    LineAdded {
        sku: "AB-BEE-001".to_owned(),
        name: "SummitForge Brewery Craft Lager 500 ml bottle".to_owned(),
        quantity: 2,
        amount_minor: 499,
        currency: "EUR".to_owned(),
        store_id: "store-1".to_owned(),
        customer_id: customer.to_string(),
    }
}

/// One client: a basket of ten lines, then the next basket; each line is a command with an id of its own.
async fn client(store: EventStore, end: Instant, done: Arc<AtomicU64>) {
    while Instant::now() < end {
        let basket = Uuid::now_v7();
        for number in 0..10 {
            let stream = if number == 0 {
                Stream::<Basket>::beginning(basket.to_string())
            } else {
                Stream::<Basket>::new(basket.to_string())
            };
            let context = CommandContext {
                command: Some(CommandId {
                    id: Uuid::from_bytes(rand::random()),
                    fingerprint: basket.as_bytes().to_vec(),
                    expires_after: Some(Duration::from_secs(7 * 86_400)),
                    wait_if_in_flight: false,
                }),
                correlation_id: Some(basket.to_string()),
                ..CommandContext::new("add-line")
            };
            store
                .execute(stream, context, move |state: &Basket| {
                    if state.lines > 1_000 {
                        return Err(Full);
                    }
                    Ok(vec![line(&basket)])
                })
                .await
                .expect("a command on a quiet stream");
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn commands_per_second(store: &EventStore) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(client(store.clone(), began + ROUND, done.clone())))
        .collect();
    for client in clients {
        client.await.expect("a client");
    }
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// pgbench, prepared, 64 clients, each transaction one insert of a row like those above.
fn inserts_per_second(url: &str, script: &std::path::Path) -> f64 {
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-c"])
        .arg(CLIENTS.to_string())
        .args(["-j", "2", "-T"])
        .arg(ROUND.as_secs().to_string())
        .arg("-f")
        .arg(script)
        // libpq does not know the parameters of other clients.
        .arg(url.split('?').next().unwrap_or(url))
        .output()
        .expect("pgbench, of PostgreSQL's packages");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::main]
async fn main() {
    let database = testing::database().await;
    let options = Options {
        keys: Keys {
            master: [1; 64],
            pepper: [2; 32],
        },
        upcasters: Vec::new(),
        snapshot_shapes: HashMap::new(),
    };
    let store = EventStore::open(database.pool.clone(), options)
        .await
        .expect("a test database");

    // The inserts go into a table of the same form, so that the log of the measured store stays whole.
    for statement in [
        "create table single_rows (like events including all)",
        "create sequence single_rows_position",
    ] {
        sqlx::query(statement)
            .execute(&database.pool)
            .await
            .expect("a fresh database");
    }
    let script = std::env::temp_dir().join(format!("nakku-bench-{}.sql", std::process::id()));
    let payload = serde_json::to_string(&line(&Uuid::now_v7())).expect("plain data");
    std::fs::write(
        &script,
        format!(
            "insert into single_rows values (nextval('single_rows_position'), gen_random_uuid(), 'basket', \
             gen_random_uuid()::text, 1, 'basket.line-added', '1.0', '{payload}', '{{}}', gen_random_uuid(), 1, '\\x00', now());\n"
        ),
    )
    .expect("a writable temporary folder");

    println!("{CLIENTS} clients, {ROUND:?} a round, fsync on");
    println!(
        "{:>20} {:>20} {:>8}",
        "commands/s", "pgbench inserts/s", "ratio"
    );
    for _ in 0..ROUNDS {
        let commands = commands_per_second(&store).await;
        let inserts = inserts_per_second(&database.url, &script);
        println!(
            "{commands:>20.0} {inserts:>20.0} {:>8.2}",
            commands / inserts
        );
    }
    store.close().await;
    let _ = std::fs::remove_file(script);
}
