//! A shop that sells, in processes of its own: commands, sagas and participants, relay, payment provider.

use std::time::Duration;

use chrono::Utc;
use domain::{
    Capacity, Currency, EmailClaim, Price, Product, ProductId, Quantity, Sealed, SkuClaim, Stock,
    StoreId, User, UserId, capacity, product, stock, user,
};
use eventstore::{CommandContext, EventStore, KafkaSettings, Stream, Topics, ensure_topics};
use faults::{At, Process, trade};
use http_server::Signer;
use http_server::token::generate_key;
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use testing::{Database, PaymentProviderProcess};
use tokio::sync::watch;
use uuid::Uuid;

use super::{SOON, group};

/// Where everything is sold, and brought.
pub(super) const STORE: &str = "berlin-1";
/// Sells, and has nobody to bring it.
pub(super) const STORE_WITHOUT_COURIERS: &str = "berlin-2";

/// Goods of which there are enough.
pub(super) const PLENTY: [&str; 5] = ["beer", "bread", "butter", "apples", "coffee"];
/// Goods of which there are few.
pub(super) const SCARCE: &str = "caviar";
/// So many pieces: enough for two orders.
const SCARCE_PIECES: u32 = 4;
const PIECES: u32 = 100_000;

/// Who buys.
const CUSTOMERS: usize = 20;

/// Longer than any run.
const TOKEN_MAX: Duration = Duration::from_secs(86_400);

/// How long the sagas wait for a charge, and at first for any other answer; how long the provider may take for an attempt.
const PAYMENT_MILLIS: u64 = 4_000;
const REPLY_MILLIS: u64 = 1_000;
const ATTEMPT_MILLIS: u64 = 800;

/// Aggregate types and their topics, as `nakku` has them.
const TOPICS: [(&str, &str); 14] = [
    ("user", "user-events"),
    ("email", "user-events"),
    ("product", "product-events"),
    ("sku", "product-events"),
    ("stock", "inventory-events"),
    ("reservation", "inventory-events"),
    ("order", "order-events"),
    ("payment", "payment-events"),
    ("delivery", "delivery-events"),
    ("capacity", "delivery-events"),
    ("slot", "delivery-events"),
    ("notification", "notification-events"),
    ("fulfilment", "fulfilment-events"),
    ("return", "fulfilment-events"),
];
/// Few enough that a test is quick, more than one so that a participant has several at once.
const PARTITIONS: i32 = 3;

/// Those who react to requests of the sagas.
pub(super) const PARTICIPANTS: [&str; 3] = ["inventory", "payment", "delivery"];
/// Everybody who reacts: the names of their consumer groups begin like that.
pub(super) const REACTORS: [&str; 5] = ["fulfilment", "inventory", "payment", "refund", "delivery"];

/// A kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    Reactors,
    Orders,
    Relay,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Role::Reactors => "reactors",
            Role::Orders => "orders",
            Role::Relay => "relay",
        }
    }
}

/// Who buys, and proves it by a token.
pub(super) struct Customer {
    pub(super) token: String,
}

pub(super) struct Site {
    database: Database,
    pub(super) provider: PaymentProviderProcess,
    pub(super) customers: Vec<Customer>,
    /// The token of somebody who may do anything to a delivery.
    pub(super) staff: String,
    kafka: Option<KafkaSettings>,
    /// Where orders are taken, while somebody takes them.
    port: watch::Sender<Option<u16>>,
    signing_key: Vec<u8>,
    _directory: TempDir,
}

impl Site {
    /// A shop with goods and customers, and without any process at work. Somewhere in its log is an event that nobody can
    /// read.
    pub(super) async fn open(over_kafka: bool) -> Site {
        let directory = TempDir::new().unwrap();
        let database = testing::database().await;
        let store = trade::open(database.pool.clone()).await.unwrap();
        let signing_key = generate_key();
        let signer = Signer::new("test", &signing_key).unwrap();
        let mut customers = Vec::new();
        for _ in 0..CUSTOMERS {
            let id = register(&store).await;
            let token = signer.sign(&id, http_server::Role::Customer, TOKEN_MAX, Utc::now());
            customers.push(Customer { token });
        }
        let id = Uuid::now_v7().to_string();
        let staff = signer.sign(&id, http_server::Role::Staff, TOKEN_MAX, Utc::now());
        stock_up(&store).await;
        store.close().await;
        plant_unreadable(&database.pool).await;
        Site {
            provider: PaymentProviderProcess::start(directory.path()),
            kafka: if over_kafka {
                Some(topics().await)
            } else {
                None
            },
            port: watch::Sender::new(None),
            database,
            customers,
            staff,
            signing_key,
            _directory: directory,
        }
    }

    pub(super) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub(super) fn port(&self) -> watch::Receiver<Option<u16>> {
        self.port.subscribe()
    }

    /// The kinds of processes that this shop needs.
    pub(super) fn roles(&self) -> &'static [Role] {
        match self.kafka {
            None => &[Role::Reactors, Role::Orders],
            Some(_) => &[Role::Reactors, Role::Orders, Role::Relay],
        }
    }

    /// Starts a process, which may end itself at a point.
    pub(super) async fn start(&self, role: Role, at: Option<&At>) -> Process {
        let told = self.told(role, at);
        let mut process = Process::start(env!("CARGO_BIN_EXE_faults"), role.name(), &told);
        if role == Role::Orders {
            let port = process.told().await;
            self.port.send_replace(port);
        } else {
            let ready: Option<String> = process.told().await;
            assert_eq!(ready.as_deref(), Some("ready"), "{role:?}");
        }
        process
    }

    fn told(&self, role: Role, at: Option<&At>) -> Value {
        let mut told = json!({"url": self.database.url, "holder": role.name(), "at": at});
        let kafka = self.kafka.as_ref().map(|settings| {
            json!({
                "brokers": settings.brokers, "topic_prefix": settings.topic_prefix,
                "options": [], "topics": TOPICS, "partitions": settings.partitions,
            })
        });
        let more = match role {
            Role::Reactors => json!({
                "kafka": kafka, "provider": self.provider.url(), "payment_millis": PAYMENT_MILLIS,
                "reply_millis": REPLY_MILLIS, "attempt_millis": ATTEMPT_MILLIS,
            }),
            Role::Orders => json!({"signing_key": self.signing_key}),
            Role::Relay => kafka.expect("a relay has brokers"),
        };
        for (name, value) in more.as_object().unwrap() {
            told[name] = value.clone();
        }
        told
    }

    /// A process of this kind is dead: whoever follows need not wait until that is noticed.
    pub(super) async fn bury(&self, role: Role) {
        if role == Role::Orders {
            self.port.send_replace(None);
        }
        sqlx::query("update leases set expires_at = clock_timestamp() where holder = $1")
            .bind(role.name())
            .execute(self.pool())
            .await
            .unwrap();
        if let (Role::Reactors, Some(settings)) = (role, &self.kafka) {
            let group = |reactor| format!("{}{reactor}-group", settings.topic_prefix);
            group::bury(&settings.brokers, REACTORS.map(group)).await;
        }
    }

    /// Ends a process in order.
    pub(super) async fn stop(&self, mut process: Process) {
        process.terminate();
        let status = process.ended(SOON).await;
        assert!(status.success(), "{status}");
    }
}

async fn topics() -> KafkaSettings {
    let settings = KafkaSettings {
        brokers: testing::kafka_brokers(),
        topic_prefix: testing::topic_prefix(),
        options: Vec::new(),
        topics: Topics::new(TOPICS),
        partitions: PARTITIONS,
    };
    testing::until("the topics are made", SOON, async || {
        ensure_topics(&settings).await.is_ok()
    })
    .await;
    settings
}

async fn register(store: &EventStore) -> String {
    let id = UserId::new(Uuid::now_v7());
    let subject = id.to_string();
    let email = format!("{subject}@example.org");
    let key = store.sealer().new_key(&subject);
    let register = user::Register {
        user_id: id,
        email: Sealed::new(&subject, key.seal(email.as_bytes())),
        name: Sealed::new(&subject, key.seal(b"Ada")),
        phone: None,
        role: domain::Role::Customer,
    };
    let streams = (
        Stream::<User>::beginning(&subject),
        Stream::<EmailClaim>::new(store.sealer().digest("email", &email)),
    );
    let context = CommandContext {
        data_keys: vec![key],
        ..CommandContext::new("register")
    };
    let decide =
        move |(user, claim): (&User, &EmailClaim)| user::register(user, claim, register.clone());
    store.execute(streams, context, decide).await.unwrap();
    subject
}

/// Products and their stock, and a store whose couriers are away.
async fn stock_up(store: &EventStore) {
    for (number, sku) in PLENTY.into_iter().chain([SCARCE]).enumerate() {
        create(store, sku, 99 + 100 * i64::try_from(number).unwrap()).await;
    }
    for store_id in [STORE, STORE_WITHOUT_COURIERS] {
        for sku in PLENTY {
            receive(store, store_id, sku, PIECES).await;
        }
    }
    receive(store, STORE, SCARCE, SCARCE_PIECES).await;
    let store_id: StoreId = STORE_WITHOUT_COURIERS.parse().unwrap();
    let decide = move |capacity: &Capacity| {
        let store_id = store_id.clone();
        capacity.decide(capacity::Command::Change {
            store_id,
            per_hour: 0,
        })
    };
    let stream = Stream::<Capacity>::new(STORE_WITHOUT_COURIERS);
    let context = CommandContext::new("change-capacity");
    store.execute(stream, context, decide).await.unwrap();
}

async fn create(store: &EventStore, sku: &str, cents: i64) {
    let id = ProductId::new(Uuid::now_v7());
    let create = product::Create {
        product_id: id,
        sku: sku.parse().unwrap(),
        price: Price::new(cents, Currency::EUR).unwrap(),
        details: product::Details {
            name: sku.parse().unwrap(),
            brand: None,
            description: None,
            category: product::Category::default(),
            size: None,
            attributes: product::Attributes::default(),
        },
    };
    let streams = (
        Stream::<Product>::beginning(id.to_string()),
        Stream::<SkuClaim>::new(sku),
    );
    let decide = move |(product, claim): (&Product, &SkuClaim)| {
        product::create(product, claim, create.clone())
    };
    let context = CommandContext::new("create");
    store.execute(streams, context, decide).await.unwrap();
}

async fn receive(store: &EventStore, store_id: &str, sku: &str, pieces: u32) {
    let id = stock::StockId::new(store_id.parse().unwrap(), sku.parse().unwrap());
    let quantity = Quantity::new(pieces).unwrap();
    let stream = Stream::<Stock>::new(id.to_string());
    let decide = move |stock: &Stock| {
        let id = id.clone();
        stock.decide(stock::Command::Receive { id, quantity })
    };
    let context = CommandContext::new("receive");
    store.execute(stream, context, decide).await.unwrap();
}

/// A request of a saga that no participant can read, written past every rule: each of them has to park it.
async fn plant_unreadable(pool: &PgPool) {
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select head.position + 1, gen_random_uuid(), 'fulfilment', gen_random_uuid()::text, 1,
                'fulfilment.reservation-requested', '1.0',
                '{\"type\": \"fulfilment.reservation-requested\"}', '{}', clock_timestamp()
           from (select coalesce(max(position), 0) as position from events) head",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Between two looks at a process that is to end.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(20);
