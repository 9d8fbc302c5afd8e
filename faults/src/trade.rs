//! The shop's business, so that its read models have something to follow: products, prices, deliveries and customers.

use std::collections::HashMap;

use domain::{
    Currency, EmailClaim, Price, Product, ProductId, Quantity, Role, Sealed, SkuClaim, Stock, User,
    UserId, product, stock, user,
};
use eventstore::{CommandContext, EventStore, OpenError, Options, Stream};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use sqlx::PgPool;
use uuid::Uuid;

use crate::accounts;

/// Few stores: their stock has something to add up.
const STORES: [&str; 2] = ["store-1", "store-2"];

/// Opens the log as the shop's own processes do.
///
/// # Errors
/// As [`EventStore::open`].
pub async fn open(pool: PgPool) -> Result<EventStore, OpenError> {
    let options = Options {
        keys: accounts::KEYS,
        upcasters: domain::upcasters(),
        snapshot_shapes: HashMap::new(),
    };
    EventStore::open(pool, options).await
}

/// Whoever buys and sells, at random.
pub struct Trade {
    store: EventStore,
    random: StdRng,
    /// Ids and SKUs of the products there are.
    products: Vec<(String, String)>,
}

impl Trade {
    /// `seed` decides what is done; ids are new each time.
    pub fn new(store: EventStore, seed: u64) -> Trade {
        Trade {
            store,
            random: StdRng::seed_from_u64(seed),
            products: Vec::new(),
        }
    }

    /// Carries out so many commands of all kinds; the position of the last.
    ///
    /// # Panics
    /// When one is refused: none of them can be.
    pub async fn go_on(&mut self, commands: usize) -> i64 {
        let mut position = 0;
        for _ in 0..commands {
            let kind = self.random.random_range(0..10);
            let known = self.products.choose(&mut self.random).cloned();
            position = match (kind, known) {
                (0..=2, _) | (_, None) => self.create().await,
                (3..=5, Some((id, _))) => self.change_price(&id).await,
                (6..=8, Some((_, sku))) => self.receive(&sku).await,
                (_, Some(_)) => self.register().await,
            };
        }
        position
    }

    async fn create(&mut self) -> i64 {
        let id = ProductId::new(Uuid::now_v7());
        let sku = format!("sku-{}", id.to_string().replace('-', ""));
        let create = product::Create {
            product_id: id,
            sku: sku.parse().expect("letters and digits"),
            price: self.price(),
            details: product::Details {
                name: format!("Product {}", self.products.len())
                    .parse()
                    .expect("a name"),
                brand: None,
                description: None,
                category: product::Category::default(),
                size: None,
                attributes: product::Attributes::default(),
            },
        };
        let streams = (
            Stream::<Product>::beginning(id.to_string()),
            Stream::<SkuClaim>::new(sku.clone()),
        );
        let decide = move |(product, claim): (&Product, &SkuClaim)| {
            product::create(product, claim, create.clone())
        };
        let created = self
            .store
            .execute(streams, CommandContext::new("create"), decide)
            .await;
        self.products.push((id.to_string(), sku));
        created.expect("nobody has this SKU").position
    }

    async fn change_price(&mut self, id: &str) -> i64 {
        let price = self.price();
        let decide =
            move |product: &Product| product.decide(product::Command::ChangePrice { price });
        let context = CommandContext::new("change-price");
        let changed = self
            .store
            .execute(Stream::<Product>::new(id), context, decide)
            .await;
        changed.expect("it is for sale").position
    }

    async fn receive(&mut self, sku: &str) -> i64 {
        let store = STORES.choose(&mut self.random).expect("there are stores");
        let id = stock::StockId::new(store.parse().expect("an id"), sku.parse().expect("a SKU"));
        let quantity = Quantity::new(self.random.random_range(1..100)).expect("above zero");
        let stream = Stream::<Stock>::new(id.to_string());
        let decide = move |stock: &Stock| {
            let id = id.clone();
            stock.decide(stock::Command::Receive { id, quantity })
        };
        let received = self
            .store
            .execute(stream, CommandContext::new("receive"), decide)
            .await;
        received.expect("there is room").position
    }

    async fn register(&mut self) -> i64 {
        let id = UserId::new(Uuid::now_v7());
        let subject = id.to_string();
        let email = format!("{subject}@example.org");
        let key = self.store.sealer().new_key(&subject);
        let register = user::Register {
            user_id: id,
            email: Sealed::new(&subject, key.seal(email.as_bytes())),
            name: Sealed::new(&subject, key.seal(b"Ada")),
            phone: None,
            role: Role::Customer,
        };
        let streams = (
            Stream::<User>::beginning(&subject),
            Stream::<EmailClaim>::new(self.store.sealer().digest("email", &email)),
        );
        let context = CommandContext {
            data_keys: vec![key],
            ..CommandContext::new("register")
        };
        let decide = move |(user, claim): (&User, &EmailClaim)| {
            user::register(user, claim, register.clone())
        };
        let registered = self.store.execute(streams, context, decide).await;
        registered.expect("nobody has this address").position
    }

    fn price(&mut self) -> Price {
        let cents = self.random.random_range(1..100_000);
        Price::new(cents, Currency::EUR).expect("above zero")
    }
}
