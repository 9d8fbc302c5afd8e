//! A tiny business whose rules a checker can recompute: accounts that never go below zero.
//!
//! Every event names the request that it came from, so that the log can be held against what was asked for whether or not
//! the request carried a command id.

use std::collections::HashMap;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{EventStore, Keys, OpenError, Options};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

/// The keys of every log of the fault tests.
pub const KEYS: Keys = Keys {
    master: [7; 64],
    pepper: [9; 32],
};

/// Opens the log as every process of the fault tests does; accounts get snapshots.
///
/// # Errors
/// As [`EventStore::open`].
pub async fn open(pool: PgPool) -> Result<EventStore, OpenError> {
    let options = Options {
        keys: KEYS,
        upcasters: Vec::new(),
        snapshot_shapes: HashMap::from([(Account::TYPE, "1")]),
    };
    EventStore::open(pool, options).await
}

/// What a decision looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Never below zero.
    pub balance: i64,
}

/// What happens to an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum AccountEvent {
    /// Money came in.
    #[serde(rename = "account.deposited")]
    Deposited {
        /// Above zero.
        amount: i64,
        /// The request that asked for it.
        request: Uuid,
    },
    /// Money went out.
    #[serde(rename = "account.withdrawn")]
    Withdrawn {
        /// Above zero.
        amount: i64,
        /// The request that asked for it.
        request: Uuid,
    },
}

impl AccountEvent {
    /// The request that asked for it.
    pub fn request(&self) -> Uuid {
        match self {
            Self::Deposited { request, .. } | Self::Withdrawn { request, .. } => *request,
        }
    }
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

impl Aggregate for Account {
    const TYPE: &'static str = "account";
    type Command = ();
    type Event = AccountEvent;
    type Error = Refusal;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Folds what is there: whether it may be there is for the checkers to say.
    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::Deposited { amount, .. } => self.balance += amount,
            AccountEvent::Withdrawn { amount, .. } => self.balance -= amount,
        }
    }
}

/// Why a request was refused, with the balance that it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The account does not cover it.
    #[error("balance {balance} does not cover {requested}")]
    Uncovered {
        /// Of the account that would pay.
        balance: i64,
        /// What it would have to pay in all.
        requested: i64,
    },
    /// The other account does not hold what it must.
    #[error("the guard holds {balance}, less than {floor}")]
    Unguarded {
        /// Of the guarding account.
        balance: i64,
        /// What it must hold.
        floor: i64,
    },
}

/// What a writer asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asked {
    /// Always possible.
    Deposit {
        /// Into which account.
        account: String,
        /// Above zero.
        amount: i64,
    },
    /// Possible while the account covers it.
    Withdraw {
        /// From which account.
        account: String,
        /// Above zero.
        amount: i64,
    },
    /// From one account the same amount into each of several others: all of it or nothing.
    Split {
        /// Pays.
        from: String,
        /// Get `amount` each; none of them twice, none is `from`.
        to: Vec<String>,
        /// Above zero.
        amount: i64,
    },
    /// Possible while the account covers it and another one, which gets no event, holds enough.
    Guarded {
        /// Pays.
        account: String,
        /// Only read.
        guard: String,
        /// What the guard must hold.
        floor: i64,
        /// Above zero.
        amount: i64,
    },
    /// Changes nothing.
    Look {
        /// Only read.
        account: String,
    },
}

impl Asked {
    /// The accounts that it reads, its own one first.
    pub fn accounts(&self) -> Vec<&str> {
        match self {
            Self::Deposit { account, .. }
            | Self::Withdraw { account, .. }
            | Self::Look { account } => vec![account],
            Self::Split { from, to, .. } => std::iter::once(from)
                .chain(to)
                .map(String::as_str)
                .collect(),
            Self::Guarded { account, guard, .. } => vec![account, guard],
        }
    }

    /// Why it cannot be, on these states of [`Asked::accounts`].
    pub fn refusal(&self, states: &[&Account]) -> Option<Refusal> {
        let covers = |requested: i64| {
            let balance = states[0].balance;
            (balance < requested).then_some(Refusal::Uncovered { balance, requested })
        };
        match self {
            Self::Deposit { .. } | Self::Look { .. } => None,
            Self::Withdraw { amount, .. } => covers(*amount),
            Self::Split { to, amount, .. } => covers(total(to.len(), *amount)),
            Self::Guarded { floor, amount, .. } => {
                let balance = states[1].balance;
                let guard = (balance < *floor).then_some(Refusal::Unguarded {
                    balance,
                    floor: *floor,
                });
                guard.or_else(|| covers(*amount))
            }
        }
    }

    /// What becomes of each of [`Asked::accounts`] if it can be.
    pub fn events(&self, request: Uuid) -> Vec<Vec<AccountEvent>> {
        let deposited = |amount| vec![AccountEvent::Deposited { amount, request }];
        let withdrawn = |amount| vec![AccountEvent::Withdrawn { amount, request }];
        match self {
            Self::Deposit { amount, .. } => vec![deposited(*amount)],
            Self::Withdraw { amount, .. } => vec![withdrawn(*amount)],
            Self::Split { to, amount, .. } => {
                let mut events = vec![withdrawn(total(to.len(), *amount))];
                events.extend(to.iter().map(|_| deposited(*amount)));
                events
            }
            Self::Guarded { amount, .. } => vec![withdrawn(*amount), Vec::new()],
            Self::Look { .. } => vec![Vec::new()],
        }
    }
}

fn total(count: usize, amount: i64) -> i64 {
    amount * i64::try_from(count).expect("a handful of accounts")
}
