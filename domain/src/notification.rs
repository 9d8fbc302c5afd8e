//! Telling a user of an event through one channel. One stream an event and channel, `<event id>:<channel>`.
//!
//! Every attempt is written down before it is made, and its outcome after it. So whoever finds an attempt without an
//! outcome does not know whether the message went out, and does not send it again: at most once.

use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aggregate::{event_types, illegal, write};
use crate::{OrderId, UserId};

/// How often a message is tried that is known not to have gone out.
pub const ATTEMPTS_MAX: u32 = 6;

/// A way to reach a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// A mail to the user's address.
    Email,
    /// A call of the shop's web hook.
    Webhook,
    /// A line in the log of the notifier.
    Log,
}

impl Channel {
    /// All there are.
    pub const ALL: [Channel; 3] = [Channel::Email, Channel::Webhook, Channel::Log];

    /// As it is stored, as `email`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Email => "email",
            Channel::Webhook => "webhook",
            Channel::Log => "log",
        }
    }
}

/// What a message is about. Who it goes to is looked up when it is sent, and stands in no event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Who is told.
    pub user_id: UserId,
    /// Through what.
    pub channel: Channel,
    /// Type of the event they are told of, as `order.completed`.
    pub about: String,
    /// The order it belongs to, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// When that happened. Not known of messages from before this was kept, as the facts are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<DateTime<Utc>>,
    /// Facts of that event, for the text and for programs: no personal data. Kept, so that a later attempt says the same.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub facts: Value,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make an attempt, the first or the next.
    Attempt(Subject),
    /// It went out.
    MarkSent,
    /// It did not go out, and will not by itself.
    GiveUp {
        /// Why.
        error: String,
    },
    /// It did not go out this time.
    Fail {
        /// Why.
        error: String,
    },
    /// An operator wants another try of what was given up.
    Retry,
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[expect(
    missing_docs,
    reason = "the members of `Subject`, which attempt, what went wrong"
)]
pub enum Event {
    /// It is about to be sent.
    #[serde(rename = "notification.attempted")]
    Attempted {
        #[serde(flatten)]
        subject: Subject,
        attempt: u32,
    },
    /// The channel has taken it.
    #[serde(rename = "notification.sent")]
    Sent {
        #[serde(flatten)]
        subject: Subject,
        attempt: u32,
    },
    /// The channel has not taken it. `final`: and will not be asked again.
    #[serde(rename = "notification.failed")]
    Failed {
        #[serde(flatten)]
        subject: Subject,
        attempt: u32,
        error: String,
        #[serde(rename = "final")]
        is_final: bool,
    },
}

event_types! {
    Attempted = "notification.attempted" "1.0",
    Sent = "notification.sent" "1.0",
    Failed = "notification.failed" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// There is no attempt whose outcome this could be.
    #[error("no attempt is under way")]
    NotAttempted,
    /// It went out, or is about to.
    #[error("the notification was not given up")]
    NotGivenUp,
}

/// Shape of a snapshot of [`Notification`]; changes whenever its serialised form does.
pub const SHAPE: &str = "notification-2";

/// A notification as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notification {
    /// Nobody tried.
    #[default]
    New,
    /// An attempt is under way, or its outcome was lost.
    Attempted(Attempt),
    /// The last attempt is known to have failed; another follows.
    Waiting(Attempt),
    /// It went out.
    Sent,
    /// No attempt follows.
    GivenUp(Attempt),
}

/// An attempt to send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// What it is about.
    pub subject: Subject,
    /// Counted from 1.
    pub attempt: u32,
}

impl Notification {
    /// # Errors
    /// [`Error`] where the state does not allow it. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let event = match (self, command) {
            (Notification::New, Command::Attempt(subject)) => Event::Attempted {
                subject,
                attempt: 1,
            },
            (Notification::Waiting(before), Command::Attempt(subject)) => Event::Attempted {
                subject,
                attempt: before.attempt + 1,
            },
            (
                Notification::Attempted(_) | Notification::Sent | Notification::GivenUp(_),
                Command::Attempt(_),
            ) => return Ok(vec![]),

            (Notification::Attempted(Attempt { subject, attempt }), Command::MarkSent) => {
                Event::Sent {
                    subject: subject.clone(),
                    attempt: *attempt,
                }
            }
            (Notification::Attempted(attempt), Command::Fail { error }) => {
                let is_final = attempt.attempt >= ATTEMPTS_MAX;
                attempt.failed(error, is_final)
            }
            (Notification::Attempted(attempt), Command::GiveUp { error }) => {
                attempt.failed(error, true)
            }
            (
                Notification::Sent | Notification::GivenUp(_),
                Command::MarkSent | Command::Fail { .. } | Command::GiveUp { .. },
            ) => return Ok(vec![]),
            (
                Notification::New | Notification::Waiting(_),
                Command::MarkSent | Command::Fail { .. } | Command::GiveUp { .. },
            ) => return Err(Error::NotAttempted),

            (Notification::GivenUp(before), Command::Retry) => Event::Attempted {
                subject: before.subject.clone(),
                attempt: before.attempt + 1,
            },
            (_, Command::Retry) => return Err(Error::NotGivenUp),
        };
        Ok(vec![event])
    }
}

impl Attempt {
    fn failed(&self, error: String, is_final: bool) -> Event {
        Event::Failed {
            subject: self.subject.clone(),
            attempt: self.attempt,
            error,
            is_final,
        }
    }
}

impl Aggregate for Notification {
    const TYPE: &'static str = "notification";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        *self = match (std::mem::take(self), event) {
            (
                Notification::New | Notification::Waiting(_) | Notification::GivenUp(_),
                Event::Attempted { subject, attempt },
            ) => Notification::Attempted(Attempt { subject, attempt }),
            (Notification::Attempted(_), Event::Sent { .. }) => Notification::Sent,
            (
                Notification::Attempted(attempt),
                Event::Failed {
                    is_final: false, ..
                },
            ) => Notification::Waiting(attempt),
            (Notification::Attempted(attempt), Event::Failed { is_final: true, .. }) => {
                Notification::GivenUp(attempt)
            }
            (state, event) => illegal(&state, &event),
        };
    }
}

#[cfg(test)]
mod tests;
