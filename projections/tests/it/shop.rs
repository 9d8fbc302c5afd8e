//! A shop to test with: commands, workers, and waiting for them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use domain::{
    Currency, EmailClaim, Price, Product, ProductId, Quantity, Role, Sealed, SkuClaim, Stock, User,
    UserId, product, stock, user,
};
use eventstore::{CommandContext, EventStore, FeedSource, Feeds, Keys, Options, Stream};
use projections::{ReadModel, Worker, replay};
use read_models::replays::{self, Kind, Replay, Request};
use read_models::{generations, positions};
use sqlx::PgPool;
use tempfile::TempDir;
use testing::Database;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Long enough for a busy machine; whatever waits ends much sooner.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const STORE: &str = "store-1";

/// To be asked of a read model; [`Shop::request`] fills in which, and the id.
pub const REPLAY: Request<'static> = Request {
    id: Uuid::nil(),
    projection: "",
    kind: Kind::Replay,
    compare_only: false,
    require_equal: false,
    requested_by: "test",
};

pub const ROLLBACK: Request<'static> = Request {
    kind: Kind::Rollback,
    ..REPLAY
};

pub struct Shop {
    pub store: EventStore,
    pub directory: TempDir,
    pub database: Database,
}

pub async fn open_store(pool: &PgPool) -> EventStore {
    let options = Options {
        keys: Keys {
            master: [7; 64],
            pepper: [9; 32],
        },
        upcasters: domain::upcasters(),
        snapshot_shapes: HashMap::new(),
    };
    EventStore::open(pool.clone(), options).await.unwrap()
}

impl Shop {
    pub async fn open() -> Self {
        let database = testing::database().await;
        Self {
            store: open_store(&database.pool).await,
            directory: TempDir::new().unwrap(),
            database,
        }
    }

    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    pub fn data_directory(&self) -> &Path {
        self.directory.path()
    }

    /// A product's id, and the position of its creation.
    pub async fn create_product(&self, sku: &str, cents: i64) -> (String, i64) {
        let id = ProductId::new(Uuid::now_v7());
        let details = product::DetailsChange {
            name: Some(format!("Product {sku}").parse().unwrap()),
            category: Some(
                vec!["Food".to_owned(), "Fruit".to_owned()]
                    .try_into()
                    .unwrap(),
            ),
            ..product::DetailsChange::default()
        };
        let details = details.of(&nameless());
        let create = product::Create {
            product_id: id,
            sku: sku.parse().unwrap(),
            price: euros(cents),
            details,
        };
        let streams = (
            Stream::<Product>::beginning(id.to_string()),
            Stream::<SkuClaim>::new(sku),
        );
        let executed = self
            .store
            .execute(
                streams,
                CommandContext::new("create"),
                move |(product, claim)| product::create(product, claim, create.clone()),
            )
            .await
            .unwrap();
        (id.to_string(), executed.position)
    }

    pub async fn product(&self, id: &str, command: product::Command) -> i64 {
        let stream = Stream::<Product>::new(id);
        let context = CommandContext::new("change");
        let decide = move |product: &Product| product.decide(command.clone());
        self.store
            .execute(stream, context, decide)
            .await
            .unwrap()
            .position
    }

    pub async fn change_price(&self, id: &str, cents: i64) -> i64 {
        let price = euros(cents);
        self.product(id, product::Command::ChangePrice { price })
            .await
    }

    pub async fn receive(&self, sku: &str, pieces: u32) -> i64 {
        let id = stock::StockId::new(STORE.parse().unwrap(), sku.parse().unwrap());
        let stream = Stream::<Stock>::new(id.to_string());
        let context = CommandContext::new("receive");
        let quantity = Quantity::new(pieces).unwrap();
        let decide = move |stock: &Stock| {
            stock.decide(stock::Command::Receive {
                id: id.clone(),
                quantity,
            })
        };
        self.store
            .execute(stream, context, decide)
            .await
            .unwrap()
            .position
    }

    /// A user's id, and the position of the registration.
    pub async fn register(&self, email: &str, name: &str) -> (String, i64) {
        let id = UserId::new(Uuid::now_v7());
        let subject = id.to_string();
        let key = self.store.sealer().new_key(&subject);
        let register = user::Register {
            user_id: id,
            email: Sealed::new(&subject, key.seal(email.as_bytes())),
            name: Sealed::new(&subject, key.seal(name.as_bytes())),
            phone: None,
            role: Role::Customer,
        };
        let streams = (
            Stream::<User>::beginning(&subject),
            Stream::<EmailClaim>::new(self.store.sealer().digest("email", email)),
        );
        let context = CommandContext {
            data_keys: vec![key],
            ..CommandContext::new("register")
        };
        let decide = move |(user, claim): (&User, &EmailClaim)| {
            user::register(user, claim, register.clone())
        };
        let executed = self.store.execute(streams, context, decide).await.unwrap();
        (subject, executed.position)
    }

    pub async fn user(&self, id: &str, command: user::Command) -> i64 {
        let stream = Stream::<User>::new(id);
        let context = CommandContext::new("change");
        let decide = move |user: &User| user.decide(command.clone());
        self.store
            .execute(stream, context, decide)
            .await
            .unwrap()
            .position
    }

    /// Writes an event past every rule, as no command would.
    pub async fn plant(&self, stream_type: &str, id: &str, event_type: &str, payload: &str) -> i64 {
        sqlx::query_scalar(
            "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                                 event_type, event_version, payload, metadata, recorded_at)
             select coalesce(max(position), 0) + 1, gen_random_uuid(), $1, $2,
                    coalesce(max(sequence) filter (where aggregate_type = $1 and aggregate_id = $2), 0) + 1,
                    $3, '1.0', $4::json, '{}', clock_timestamp()
             from events returning position",
        )
        .bind(stream_type)
        .bind(id)
        .bind(event_type)
        .bind(payload)
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    /// Many products at once, each with its SKU for a name; returns the last position.
    pub async fn plant_products(&self, count: i64) -> i64 {
        let planted: Vec<i64> = sqlx::query_scalar(
            "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                                 event_type, event_version, payload, metadata, recorded_at)
             select head.position + n, gen_random_uuid(), 'product', gen_random_uuid()::text, 1,
                    'product.created', '1.0',
                    json_build_object('type', 'product.created', 'sku', 'planted-' || head.position + n,
                      'name', 'planted-' || head.position + n,
                      'price', json_build_object('amount_minor', n, 'currency', 'EUR')),
                    '{}', clock_timestamp()
               from generate_series(1, $1) n,
                    (select coalesce(max(position), 0) as position from events) head
             returning position",
        )
        .bind(count)
        .fetch_all(self.pool())
        .await
        .unwrap();
        planted.into_iter().max().unwrap()
    }

    pub fn worker(&self, model: ReadModel, holder: &str) -> Worker {
        self.worker_on(FeedSource::Store, model, holder)
    }

    pub fn worker_on(&self, source: FeedSource, model: ReadModel, holder: &str) -> Worker {
        let feeds = Feeds::new(self.store.clone(), source);
        Worker::new(feeds, model, self.data_directory(), holder.to_owned()).unwrap()
    }

    pub fn start(&self, model: ReadModel) -> Running {
        Running::new(self.worker(model, "first"))
    }

    /// Waits until a model in tables answers from this position on, and says by which generation.
    pub async fn reached(&self, model: ReadModel, position: i64) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        positions::await_position(self.pool(), model.name(), position, deadline)
            .await
            .unwrap()
            .generation
    }

    /// What an event says.
    pub async fn payload(&self, position: i64) -> String {
        sqlx::query_scalar("select payload::text from events where position = $1")
            .bind(position)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// Lets an event say something else, as no program does.
    pub async fn rewrite(&self, position: i64, payload: &str) {
        sqlx::query("update events set payload = $2::json where position = $1")
            .bind(position)
            .bind(payload)
            .execute(self.pool())
            .await
            .unwrap();
    }

    /// Does once what a worker would do.
    pub async fn bring_up(&self, model: ReadModel) {
        let worker = self.worker(model, "once");
        assert!(
            worker
                .run_until_idle(&CancellationToken::new())
                .await
                .unwrap()
        );
    }

    pub async fn request(&self, consumer: &str, asked: Request<'_>) -> Uuid {
        generations::ensure(self.pool(), consumer).await.unwrap();
        let request = Request {
            id: Uuid::now_v7(),
            projection: consumer,
            ..asked
        };
        let requested = replays::request(self.pool(), &request).await.unwrap();
        requested.replay.id
    }

    /// Asks for it and waits until a worker has done it.
    pub async fn replay(&self, consumer: &str, asked: Request<'_>) -> Replay {
        let id = self.request(consumer, asked).await;
        let shutdown = CancellationToken::new();
        let finished = replay::await_finished(self.pool(), id, None, &shutdown, |_| {});
        tokio::time::timeout(PATIENCE, finished)
            .await
            .unwrap()
            .unwrap()
    }
}

/// A worker at work.
pub struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
    pub consumer: String,
}

impl Running {
    pub fn new(worker: Worker) -> Self {
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let consumer = worker.consumer().to_owned();
        let task = tokio::spawn(async move { worker.run(token).await });
        Self {
            shutdown,
            task,
            consumer,
        }
    }

    /// Ends it in order.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// Ends it as a crash would: the lease is not released.
    pub async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

pub fn euros(cents: i64) -> Price {
    Price::new(cents, Currency::EUR).unwrap()
}

fn nameless() -> product::Details {
    product::Details {
        name: "nameless".parse().unwrap(),
        brand: None,
        description: None,
        category: product::Category::default(),
        size: None,
        attributes: product::Attributes::default(),
    }
}

/// Waits for a condition as long as [`PATIENCE`].
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    testing::until(what, PATIENCE, condition).await;
}
