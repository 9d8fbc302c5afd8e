//! `notification`: tells users what happened to their orders, payments, deliveries and accounts, by their preferences.
//!
//! The event becomes a timer for each channel that the user wants and that is set up here; whoever acts on the channel's
//! timers sends. What cannot be sent in the end is a dead letter of [`UNSENT`], which an operator may retry. The reactor
//! begins with what happens after its installation, and a message's stream says whether it was sent: no replay sends
//! anything again.

mod news;
mod sending;
mod unsent;

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::notification::{Channel, Subject};
use domain::{
    Channels, Delivery, Notification, NotificationPreferences, Order, Payment, User, UserId,
};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, ReactError, Reactor, RecordedEvent, StatesError,
    Stream, Timer, TimerChange,
};
use serde::{Deserialize, Serialize};

use self::news::{News, Topic, Whose};
use crate::command::{answering, settled};

pub use self::sending::{Sending, Ways};
pub use self::unsent::{UNSENT, Unsent};

/// The reactor's name.
pub const NAME: &str = "notification";

/// Decides who is told of an event, and through what.
pub struct Notifications {
    store: EventStore,
    channels: Vec<Channel>,
}

/// What is to be sent, as its timer holds it. Who it goes to is looked up when it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Due {
    /// The notification's stream.
    id: String,
    subject: Subject,
    occurred_at: DateTime<Utc>,
    /// Whether it was given up, and an operator wants another try.
    #[serde(default)]
    retry: bool,
}

/// What the names of a channel's timers begin with: each has its own, so that none waits for another. Those of mails are as
/// they were when all channels shared them.
const fn prefix(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "notification/",
        Channel::Webhook => "notification-webhook/",
        Channel::Log => "notification-log/",
    }
}

fn timer_name(channel: Channel, id: &str) -> String {
    format!("{}{id}", prefix(channel))
}

impl Notifications {
    /// Appends to `store`. Through `channels` users are told, if they want to be: what is not set up in this installation is
    /// not among them, and is no message that could fail.
    #[must_use]
    pub fn new(store: EventStore, channels: Vec<Channel>) -> Self {
        Self { store, channels }
    }

    async fn user_of(&self, whose: Whose) -> Result<Option<UserId>, StatesError> {
        let order_id = match whose {
            Whose::User(user_id) => return Ok(Some(user_id)),
            Whose::Order(order_id) => order_id.to_string(),
        };
        let orders = self.store.states::<Order>(std::slice::from_ref(&order_id));
        let order = orders.await?.remove(&order_id);
        Ok(order.and_then(|(order, _)| Some(order.progress()?.customer_id)))
    }

    /// What the user wants; none where nobody is there to be told.
    async fn preferences(
        &self,
        user_id: UserId,
    ) -> Result<Option<NotificationPreferences>, StatesError> {
        let id = user_id.to_string();
        let users = self.store.states::<User>(std::slice::from_ref(&id));
        let user = users.await?.remove(&id);
        let account = user.as_ref().and_then(|(user, _)| user.account());
        Ok(account.map(|account| account.notification_preferences.unwrap_or_default()))
    }

    async fn set_timer(&self, event: &RecordedEvent, due: Due) -> Result<(), ReactError> {
        let name = timer_name(due.subject.channel, &due.id);
        // By the database's clock, as timers are read by it.
        let timer = Timer::new(name, event.recorded_at, &due, &event.as_cause());
        // Without an id: the notification's own state says whether there is anything left to do.
        let context = CommandContext {
            command: None,
            ..answering(&self.store, NAME, "notify", event)
        };
        let stream = Stream::<Notification>::new(due.id);
        let set = self
            .store
            .execute(stream, context, move |notification| {
                let is_new = matches!(notification, Notification::New);
                let timers = is_new.then(|| TimerChange::Set(timer.clone()));
                let decided = Decided::with_timers(vec![], timers.into_iter().collect());
                Ok::<_, domain::notification::Error>(decided)
            })
            .await;
        settled(set)?;
        Ok(())
    }
}

#[async_trait]
impl Reactor for Notifications {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        &[Order::TYPE, Payment::TYPE, Delivery::TYPE, User::TYPE]
    }

    fn begins(&self) -> Begins {
        Begins::AtInstallation
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let Some(News {
            topic,
            whose,
            order_id,
            facts,
        }) = news::of(event)?
        else {
            return Ok(());
        };
        let Some(user_id) = self.user_of(whose).await? else {
            return Ok(());
        };
        let Some(preferences) = self.preferences(user_id).await? else {
            return Ok(());
        };
        let wanted = wanted(topic, &preferences).into_iter();
        for channel in wanted.filter(|channel| self.channels.contains(channel)) {
            let due = Due {
                id: format!("{}:{}", event.event_id, channel.as_str()),
                subject: Subject {
                    user_id,
                    channel,
                    about: event.event_type.clone(),
                    order_id,
                    occurred_at: Some(event.recorded_at),
                    facts: facts.clone(),
                },
                occurred_at: event.recorded_at,
                retry: false,
            };
            self.set_timer(event, due).await?;
        }
        Ok(())
    }
}

fn wanted(topic: Topic, preferences: &NotificationPreferences) -> Vec<Channel> {
    let Channels {
        email,
        webhook,
        log,
    } = match topic {
        Topic::Order => preferences.order,
        Topic::Payment => preferences.payment,
        Topic::Delivery => preferences.delivery,
        Topic::Account => preferences.account,
    };
    let by_channel = HashMap::from([
        (Channel::Email, email),
        (Channel::Webhook, webhook),
        (Channel::Log, log),
    ]);
    Channel::ALL
        .into_iter()
        .filter(|channel| by_channel[channel])
        .collect()
}
