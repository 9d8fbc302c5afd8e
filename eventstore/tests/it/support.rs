//! A tiny business for the tests: accounts that never go below zero, and names that one account holds.

use std::collections::HashMap;
use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{
    CommandContext, CommandId, EventStore, ExecuteError, Executed, Keys, Options, Stream,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub balance: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum AccountEvent {
    #[serde(rename = "account.deposited")]
    Deposited { amount: i64 },
    #[serde(rename = "account.withdrawn")]
    Withdrawn { amount: i64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    #[error("balance {balance} does not cover {requested}")]
    InsufficientFunds { balance: i64, requested: i64 },
    #[error("the name is taken")]
    NameTaken,
}

impl DomainEvent for AccountEvent {
    fn event_type(&self) -> String {
        match self {
            Self::Deposited { .. } => "account.deposited".to_owned(),
            Self::Withdrawn { .. } => "account.withdrawn".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Account {
    pub fn withdraw(&self, requested: i64) -> Result<Vec<AccountEvent>, Error> {
        if self.balance < requested {
            return Err(Error::InsufficientFunds {
                balance: self.balance,
                requested,
            });
        }
        Ok(vec![AccountEvent::Withdrawn { amount: requested }])
    }
}

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = ();
    type Event = AccountEvent;
    type Error = Error;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Error> {
        Ok(())
    }

    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => {
                assert!(
                    self.balance >= amount,
                    "{amount} withdrawn from {}",
                    self.balance
                );
                self.balance -= amount;
            }
        }
    }
}

/// A name that at most one account holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Name {
    pub holder: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum NameEvent {
    #[serde(rename = "name.claimed")]
    Claimed { holder: String },
}

impl DomainEvent for NameEvent {
    fn event_type(&self) -> String {
        "name.claimed".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Name {
    const TYPE: &'static str = "name";
    type Command = ();
    type Event = NameEvent;
    type Error = Error;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Error> {
        Ok(())
    }

    fn apply(&mut self, event: NameEvent) {
        match event {
            NameEvent::Claimed { holder } => self.holder = Some(holder),
        }
    }
}

pub const KEYS: Keys = Keys {
    master: [7; 64],
    pepper: [9; 32],
};

/// A store over a test database, as a process of its own would open it.
pub async fn open(pool: &PgPool) -> EventStore {
    let options = Options {
        keys: KEYS,
        upcasters: Vec::new(),
        snapshot_shapes: HashMap::from([("account", "1")]),
    };
    EventStore::open(pool.clone(), options).await.unwrap()
}

pub fn context() -> CommandContext {
    CommandContext::new("test")
}

/// A context with a command id that asks for `what`.
pub fn once(id: Uuid, what: &str) -> CommandContext {
    CommandContext {
        command: Some(CommandId {
            id,
            fingerprint: what.as_bytes().to_vec(),
            expires_after: None,
            wait_if_in_flight: true,
        }),
        ..context()
    }
}

pub type Outcome = Result<Executed, ExecuteError<Error>>;

pub async fn deposit(store: &EventStore, account: &str, amount: i64) -> Outcome {
    deposit_in(store, account, amount, context()).await
}

pub async fn deposit_in(
    store: &EventStore,
    account: &str,
    amount: i64,
    context: CommandContext,
) -> Outcome {
    store
        .execute(
            Stream::<Account>::new(account),
            context,
            move |_: &Account| Ok::<_, Error>(vec![AccountEvent::Deposited { amount }]),
        )
        .await
}

pub async fn withdraw(store: &EventStore, account: &str, amount: i64) -> Outcome {
    withdraw_in(store, account, amount, context()).await
}

pub async fn withdraw_in(
    store: &EventStore,
    account: &str,
    amount: i64,
    context: CommandContext,
) -> Outcome {
    store
        .execute(
            Stream::<Account>::new(account),
            context,
            move |account: &Account| account.withdraw(amount),
        )
        .await
}

/// Deposits into an account and claims a name for it, or neither.
pub async fn claim(store: &EventStore, account: &str, name: &str) -> Outcome {
    let holder = account.to_owned();
    store
        .execute(
            (Stream::<Account>::new(account), Stream::<Name>::new(name)),
            context(),
            move |(_, name): (&Account, &Name)| match &name.holder {
                Some(_) => Err(Error::NameTaken),
                None => Ok((
                    vec![AccountEvent::Deposited { amount: 1 }],
                    vec![NameEvent::Claimed {
                        holder: holder.clone(),
                    }],
                )),
            },
        )
        .await
}

/// Runs many at once, each in a task of its own, and hands back what they came to, in their order.
pub async fn at_once<F>(count: usize, each: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|index| tokio::spawn(each(index))).collect();
    let mut outputs = Vec::with_capacity(count);
    for task in tasks {
        outputs.push(task.await.unwrap());
    }
    outputs
}

/// Fails unless positions and versions of the whole log are without hole.
pub async fn assert_log_is_whole(pool: &PgPool) {
    let (count, newest): (i64, i64) =
        sqlx::query_as("select count(*), coalesce(max(position), 0) from events")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(count, newest, "positions have a hole");
    let broken: Vec<String> = sqlx::query_scalar(
        "select aggregate_type || '/' || aggregate_id from events
         group by aggregate_type, aggregate_id
         having count(*) <> max(sequence) or min(sequence) <> 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(broken.is_empty(), "versions have a hole: {broken:?}");
    let disordered: i64 = sqlx::query_scalar(
        "select count(*) from events a join events b on b.position = a.position + 1
         where b.recorded_at < a.recorded_at",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(disordered, 0, "recorded_at goes back");
}

/// A TCP relay to the test server, whose connections can be cut while the server's side goes on.
pub struct Proxy {
    pub url: String,
    cut: Arc<tokio::sync::watch::Sender<u64>>,
}

impl Proxy {
    pub async fn before(url: &str) -> Self {
        let (front, back) = url.rsplit_once('@').unwrap();
        let (address, database) = back.split_once('/').unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cut = Arc::new(tokio::sync::watch::Sender::new(0));
        let (address, cuts) = (address.to_owned(), cut.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut server = tokio::net::TcpStream::connect(&address).await.unwrap();
                let mut cut = cuts.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {
                            drop(client);
                            // The server must not notice: its backend goes on with what it was sent.
                            std::future::pending::<()>().await;
                        }
                    }
                });
            }
        });
        Self {
            url: format!("{front}@127.0.0.1:{port}/{database}"),
            cut,
        }
    }

    /// Cuts every connection between client and proxy; the server's sides stay open.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}
