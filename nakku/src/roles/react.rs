//! Acting on what happened: the sagas, and their participants.

use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use domain::{Fulfilment, Return};
use eventstore::{EventStore, Feeds, Reactions, Reactor, TimerHandler, Timers};
use reactors::channel::{
    Channel, EmailChannel, EmailSettings, LogChannel, WebhookChannel, WebhookSecret,
    WebhookSettings,
};
use reactors::delivery::{self, Deliveries};
use reactors::fulfilment::{self, SagaTimers, Sagas};
use reactors::inventory::{self, Inventory};
use reactors::notification::{self, Notifications, Sending, Unsent, Ways};
use reactors::payment::{self, PaymentCalls, Payments, Refunds};
use reactors::payment_provider::{
    BuiltInProvider, HttpProvider, HttpProviderSettings, Patient, PaymentProvider,
};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::part::{Part, Resources};
use super::workers::Worker;
use crate::config::{Config, ConfigError};

/// Sagas whose time is up, told at once: each is one small append.
const SAGAS_AT_ONCE: usize = 64;

/// A reactor, as it is named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Fulfilment,
    Inventory,
    Payment,
    Delivery,
    Notification,
}

const ALL: [Name; 5] = [
    Name::Fulfilment,
    Name::Inventory,
    Name::Payment,
    Name::Delivery,
    Name::Notification,
];

impl Name {
    const fn as_str(self) -> &'static str {
        match self {
            Name::Fulfilment => fulfilment::NAME,
            Name::Inventory => inventory::NAME,
            Name::Payment => payment::NAME,
            Name::Delivery => delivery::NAME,
            Name::Notification => notification::NAME,
        }
    }
}

/// A name that is no reactor's.
#[derive(Debug, thiserror::Error)]
#[error("there is no reactor `{0}`, only {names}", names = ALL.map(Name::as_str).join(", "))]
pub struct UnknownReactor(String);

impl FromStr for Name {
    type Err = UnknownReactor;

    fn from_str(raw: &str) -> Result<Self, UnknownReactor> {
        // What a reactor beside it says in its own name is done for both.
        let of = |name: &Name| match name {
            Name::Notification => [notification::NAME, notification::UNSENT].contains(&raw),
            Name::Payment => [payment::NAME, payment::REFUND].contains(&raw),
            Name::Fulfilment | Name::Inventory | Name::Delivery => name.as_str() == raw,
        };
        ALL.into_iter()
            .find(of)
            .ok_or_else(|| UnknownReactor(raw.to_owned()))
    }
}

/// What can be said without starting anything.
pub(super) fn check(names: &[String], config: &Config) -> anyhow::Result<()> {
    reactors(names)?;
    provider(config)?;
    ways(config)?;
    Ok(())
}

/// The reactors of these names, or all; from where they stand, or after a position.
pub(super) async fn part(
    resources: &Resources,
    names: &[String],
    from: Option<i64>,
) -> anyhow::Result<Part> {
    let feeds = resources.feeds().await?;
    let store = feeds.store();
    let mut part = Part {
        needs_kafka: true,
        ..Part::default()
    };
    for name in reactors(names)? {
        let made = made(name, store, &resources.config)?;
        for reactor in made.reactors {
            if let Some(position) = from {
                Reactions::reset(&resources.pool, reactor.name(), position).await?;
            }
            part.workers
                .push(reacting(resources, &feeds, name, reactor));
        }
        for (handler, at_once) in made.timers {
            part.workers
                .push(timing(resources, store, name, handler, at_once));
        }
    }
    Ok(part)
}

fn reacting(resources: &Resources, feeds: &Feeds, name: Name, reactor: Arc<dyn Reactor>) -> Worker {
    let reactions = Reactions::new(feeds.clone(), reactor, resources.holder.clone());
    Worker::new(name.as_str(), async move |stop: CancellationToken| {
        Ok(reactions.run(stop).await?)
    })
}

fn timing(
    resources: &Resources,
    store: &EventStore,
    name: Name,
    handler: Arc<dyn TimerHandler>,
    at_once: usize,
) -> Worker {
    let timers = Timers::new(store.clone(), handler, resources.holder.clone()).at_once(at_once);
    Worker::new(name.as_str(), async move |stop: CancellationToken| {
        timers.run(stop).await;
        Ok(())
    })
}

/// What goes by one name on the command line.
#[derive(Default)]
struct Made {
    reactors: Vec<Arc<dyn Reactor>>,
    /// Each with how many of its timers are acted on at once.
    timers: Vec<(Arc<dyn TimerHandler>, usize)>,
}

impl Made {
    fn reactor(reactor: impl Reactor) -> Self {
        Made::default().and(reactor)
    }

    fn and(mut self, reactor: impl Reactor) -> Self {
        self.reactors.push(Arc::new(reactor));
        self
    }

    fn timing(mut self, handler: impl TimerHandler, at_once: usize) -> Self {
        self.timers.push((Arc::new(handler), at_once));
        self
    }
}

fn made(name: Name, store: &EventStore, config: &Config) -> anyhow::Result<Made> {
    let store = store.clone();
    Ok(match name {
        Name::Fulfilment => {
            let sagas = Sagas::new(store, config.patience());
            Made::reactor(sagas.clone())
                .timing(SagaTimers::<Fulfilment>::new(sagas.clone()), SAGAS_AT_ONCE)
                .timing(SagaTimers::<Return>::new(sagas), SAGAS_AT_ONCE)
        }
        Name::Inventory => Made::reactor(Inventory::new(store)),
        Name::Payment => {
            let calls = PaymentCalls::new(store.clone(), provider(config)?);
            Made::reactor(Payments::new(store.clone()))
                .and(Refunds::new(store))
                .timing(calls, PaymentCalls::AT_ONCE)
        }
        Name::Delivery => Made::reactor(Deliveries::new(store)),
        Name::Notification => notifying(&store, &ways(config)?),
    })
}

/// Who decides what users are told, who keeps what could not be sent, and for each channel who sends.
fn notifying(store: &EventStore, ways: &Ways) -> Made {
    let reactors = Made::reactor(Notifications::new(store.clone(), ways.channels()))
        .and(Unsent::new(store.clone()));
    // Also for one that is not set up any more: what is on the way to it is given up, not forgotten.
    domain::notification::Channel::ALL
        .into_iter()
        .fold(reactors, |made, channel| {
            let sending = Sending::new(store.clone(), ways.clone(), channel);
            let at_once = sending.at_once();
            made.timing(sending, at_once)
        })
}

/// How users are reached. Without a mail server what would be mailed is logged, so that somebody sees it.
fn ways(config: &Config) -> anyhow::Result<Ways> {
    let log: Arc<dyn Channel> = Arc::new(LogChannel);
    let email: Arc<dyn Channel> = match &config.smtp_url {
        Some(url) => {
            let settings = EmailSettings::new(url.clone(), config.mail_from.clone());
            Arc::new(
                EmailChannel::new(&settings).context("bad configuration: smtp_url, mail_from")?,
            )
        }
        None => Arc::clone(&log),
    };
    let webhook: Option<Arc<dyn Channel>> = match (&config.webhook_url, &config.webhook_secret) {
        (Some(url), Some(secret)) => {
            let secret: WebhookSecret = secret
                .expose_secret()
                .parse()
                .context("bad configuration: webhook_secret")?;
            let settings = WebhookSettings::new(url.clone(), secret);
            let channel = WebhookChannel::new(&settings);
            Some(Arc::new(channel.with_context(|| {
                format!("bad configuration: webhook_url {url}")
            })?))
        }
        (Some(_), None) => return Err(ConfigError::Missing("webhook_secret").into()),
        (None, _) => None,
    };
    Ok(Ways {
        email,
        webhook,
        log,
    })
}

fn provider(config: &Config) -> anyhow::Result<Arc<dyn PaymentProvider>> {
    let Some(url) = &config.payment_url else {
        return Ok(Arc::new(Patient::new(BuiltInProvider)));
    };
    let settings = HttpProviderSettings {
        url: url.clone(),
        bearer: config.payment_key.clone(),
        authority: None,
    };
    let provider = HttpProvider::new(&settings)
        .with_context(|| format!("bad configuration: payment_url {url}"))?;
    Ok(Arc::new(Patient::new(provider)))
}

/// The reactors that are named, each once; all where none is.
fn reactors(names: &[String]) -> anyhow::Result<Vec<Name>> {
    if names.is_empty() {
        return Ok(ALL.to_vec());
    }
    let mut named = Vec::new();
    for name in names {
        let name = name.parse()?;
        if !named.contains(&name) {
            named.push(name);
        }
    }
    Ok(named)
}
