//! Baskets become orders, by the commands that the shop's own parts would give.

mod purchase;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::path::Path;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use domain::stock::StockId;
use domain::{
    Channels, NotificationPreferences, OrderId, PaymentId, Quantity, Sealed, Stock, stock, user,
};
use eventstore::{CommandContext, Stream};
use flate2::read::GzDecoder;
use serde::Deserialize;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::purchase::Purchase;
use crate::shop::Shop;

/// Customers at once: commits are shared, as in a busy shop.
const AT_ONCE: usize = 32;

#[derive(Clone, Deserialize)]
struct Basket {
    store: String,
    household: String,
    at: NaiveDateTime,
    items: Vec<Line>,
}

#[derive(Clone, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
    unit_price_minor: i64,
}

#[derive(Deserialize)]
struct Product {
    sku: String,
    name: String,
}

impl Basket {
    fn store_id(&self) -> String {
        format!("store-{}", self.store)
    }
}

/// Lines of a file that ships with the program; where each is from stands beside them.
fn seed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../nakku/seed/{name}"));
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// What was bought, with its place among the baskets.
pub struct Bought(Vec<(usize, Purchase)>);

/// Buys the first of the demo's baskets.
pub async fn buy(shop: &Shop, count: usize) -> Bought {
    let baskets = seed("demo-baskets.ndjson.gz");
    let baskets = baskets.lines().take(count);
    let baskets: Vec<Basket> = baskets
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let customers = register(shop, &baskets).await;
    stock_up(shop, &baskets).await;
    let names = names(&baskets);
    let mut buying = JoinSet::new();
    let mut bought = Vec::new();
    for (n, basket) in baskets.iter().enumerate() {
        if buying.len() == AT_ONCE {
            bought.push(buying.join_next().await.unwrap().unwrap());
        }
        let purchase = Purchase {
            store: shop.store.clone(),
            order_id: OrderId::new(Uuid::now_v7()),
            payment_id: PaymentId::new(Uuid::now_v7()),
            customer: customers[&basket.household].clone(),
            basket: basket.clone(),
        };
        let items = purchase.items(&names);
        buying.spawn(async move {
            purchase.carry_out(items, n).await;
            (n, purchase)
        });
    }
    bought.extend(buying.join_all().await);
    refill(shop, &baskets).await;
    live_on(shop, &customers).await;
    Bought(bought)
}

/// A user for each household; their ids.
async fn register(shop: &Shop, baskets: &[Basket]) -> BTreeMap<String, String> {
    let mut customers = BTreeMap::new();
    for basket in baskets {
        let household = &basket.household;
        if !customers.contains_key(household) {
            let email = format!("household-{household}@example.org");
            let (id, _) = shop.register(&email, household).await;
            customers.insert(household.clone(), id);
        }
    }
    customers
}

/// What the catalogue calls the products.
fn names(baskets: &[Basket]) -> HashMap<String, String> {
    let lines = baskets.iter().flat_map(|basket| &basket.items);
    let wanted: BTreeSet<&str> = lines.map(|line| line.sku.as_str()).collect();
    let catalogue = seed("catalogue.ndjson.gz");
    let products = catalogue
        .lines()
        .map(|line| serde_json::from_str::<Product>(line).unwrap());
    let known = products.filter(|product| wanted.contains(product.sku.as_str()));
    let names: HashMap<_, _> = known.map(|it| (it.sku, it.name)).collect();
    assert_eq!(names.len(), wanted.len());
    names
}

/// All that will be asked for, and from none to 29 pieces more.
async fn stock_up(shop: &Shop, baskets: &[Basket]) {
    let mut demand: BTreeMap<(String, &str), u32> = BTreeMap::new();
    for basket in baskets {
        for line in &basket.items {
            *demand.entry((basket.store_id(), &line.sku)).or_default() += line.quantity;
        }
    }
    let more = |sku: &str| sku.parse::<u32>().unwrap() % 30;
    let deliveries = demand
        .into_iter()
        .map(|((store, sku), pieces)| (store, sku.to_owned(), pieces + more(sku)));
    receive(shop, deliveries.collect()).await;
}

/// Some shelves are filled again.
async fn refill(shop: &Shop, baskets: &[Basket]) {
    let mut refilled = BTreeSet::new();
    for basket in baskets {
        for line in basket.items.iter().filter(|line| line.sku.ends_with('5')) {
            refilled.insert((basket.store_id(), line.sku.clone(), 40));
        }
    }
    receive(shop, refilled.into_iter().collect()).await;
}

async fn receive(shop: &Shop, deliveries: Vec<(String, String, u32)>) {
    let mut receiving = JoinSet::new();
    for (store_id, sku, pieces) in deliveries {
        if receiving.len() == AT_ONCE {
            receiving.join_next().await.unwrap().unwrap();
        }
        let id = StockId::new(store_id.parse().unwrap(), sku.parse().unwrap());
        let quantity = Quantity::new(pieces).unwrap();
        let store = shop.store.clone();
        receiving.spawn(async move {
            let stream = Stream::<Stock>::new(id.to_string());
            let decide = move |stock: &Stock| {
                let id = id.clone();
                stock.decide(stock::Command::Receive { id, quantity })
            };
            let context = CommandContext::new("receive");
            store.execute(stream, context, decide).await.unwrap();
        });
    }
    receiving.join_all().await;
}

/// Of the users some change their profile, some what they are told, and some leave.
async fn live_on(shop: &Shop, customers: &BTreeMap<String, String>) {
    let told = NotificationPreferences {
        order: Channels {
            webhook: true,
            ..Channels::EMAIL
        },
        payment: Channels::NONE,
        ..NotificationPreferences::default()
    };
    for (n, id) in customers.values().enumerate() {
        let command = match n % 9 {
            0 => profile(shop, id).await,
            1 => user::Command::ChangePreferences(told),
            2 => user::Command::ChangePreferences(NotificationPreferences::NONE),
            3 => user::Command::Deactivate,
            4 => user::Command::AssignRole {
                role: domain::Role::Courier,
            },
            5 => user::Command::Erase { email: None },
            6 => user::Command::ChangePassword,
            _ => continue,
        };
        shop.user(id, command).await;
        if n % 18 == 1 {
            let command = profile(shop, id).await;
            shop.user(id, command).await;
            shop.user(id, user::Command::Deactivate).await;
        }
    }
}

async fn profile(shop: &Shop, id: &str) -> user::Command {
    let key = shop.store.sealer().key(id).await.unwrap().unwrap();
    user::Command::UpdateProfile(user::ProfileChange {
        name: Some(Sealed::new(id, key.seal(b"Another Name"))),
        ..user::ProfileChange::default()
    })
}

/// Writes into the log that the orders were placed when the baskets were bought, and took their time; money was given back
/// half a day later.
pub async fn write_times(shop: &Shop, bought: &Bought) {
    let (mut ids, mut sequences, mut times) = (vec![], vec![], vec![]);
    let (mut payments, mut refunds) = (vec![], vec![]);
    for (n, purchase) in &bought.0 {
        let mut at: DateTime<Utc> = purchase.basket.at.and_utc();
        payments.push(purchase.payment_id.to_string());
        refunds.push(at + TimeDelta::hours(12));
        for sequence in 1..=8_i64 {
            ids.push(purchase.order_id.to_string());
            sequences.push(sequence);
            times.push(at);
            let n = i64::try_from(*n).unwrap();
            // From milliseconds to some minutes, to the microsecond; many of them are equal.
            let micros = (n * 7_919 + sequence * 104_729) % 400 * 700_000 + n * 37 % 1_000;
            at += TimeDelta::microseconds(micros);
            if sequence == 5 {
                at += TimeDelta::hours(3);
            }
        }
    }
    let written = sqlx::query(
        "update events e set recorded_at = t.at
           from unnest($1::text[], $2::bigint[], $3::timestamptz[]) as t (id, sequence, at)
          where e.aggregate_type = 'order' and e.aggregate_id = t.id and e.sequence = t.sequence",
    );
    written
        .bind(ids)
        .bind(sequences)
        .bind(times)
        .execute(shop.pool())
        .await
        .unwrap();
    let written = sqlx::query(
        "update events e set recorded_at = t.at from unnest($1::text[], $2::timestamptz[]) as t (id, at)
          where e.aggregate_type = 'payment' and e.aggregate_id = t.id",
    );
    written
        .bind(payments)
        .bind(refunds)
        .execute(shop.pool())
        .await
        .unwrap();
}
