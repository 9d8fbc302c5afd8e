//! Sending, at most once: every attempt is in the log before it is made.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, TimeDelta, Utc};
use domain::notification::{self, Channel, Command, Event};
use domain::{Email, Notification, User, UserId};
use eventstore::{
    CommandContext, Decided, DueTimer, EventStore, ExecuteError, Executed, Stream, Timer,
    TimerChange, TimerHandler,
};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{Due, news, prefix};
use crate::channel::{AT_ONCE, Channel as Way, Message, Recipient, SendError};
use crate::command::{acted, acting_on};

/// After this long an attempt without an outcome is one whose outcome was lost. Longer than any channel's deadline.
const OUTCOME_WAIT: Duration = Duration::from_secs(300);

/// So long before that, telling an outcome is given up: clocks differ, and the attempt takes a moment to be written down.
const OUTCOME_MARGIN: Duration = Duration::from_secs(10);

/// Waits between two tries to tell an outcome, doubled from the first to the longest: one that is not told is lost.
const TELL_WAIT_MIN: Duration = Duration::from_millis(200);
const TELL_WAIT_MAX: Duration = Duration::from_secs(5);

/// Waits between attempts: doubled from the first to the second. Six attempts span some ten minutes.
const WAIT_MIN: Duration = Duration::from_secs(20);
const WAIT_MAX: Duration = Duration::from_secs(600);

/// How often an append is asked for again whose own outcome is unknown.
const APPENDS_MAX: u32 = 5;

/// The ways out that are set up.
#[derive(Clone)]
pub struct Ways {
    /// Mail, or what stands in for it.
    pub email: Arc<dyn Way>,
    /// The web hook, if there is one.
    pub webhook: Option<Arc<dyn Way>>,
    /// The log of this process.
    pub log: Arc<dyn Way>,
}

impl Ways {
    fn of(&self, channel: Channel) -> Option<&Arc<dyn Way>> {
        match channel {
            Channel::Email => Some(&self.email),
            Channel::Webhook => self.webhook.as_ref(),
            Channel::Log => Some(&self.log),
        }
    }

    /// The channels that users can be told through.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        let all = Channel::ALL.into_iter();
        all.filter(|channel| self.of(*channel).is_some()).collect()
    }
}

/// Sends what is due through one channel.
pub struct Sending {
    store: EventStore,
    ways: Ways,
    channel: Channel,
    wait_min: Duration,
}

impl Sending {
    /// Appends to `store` what becomes of it.
    #[must_use]
    pub fn new(store: EventStore, ways: Ways, channel: Channel) -> Self {
        Self {
            store,
            ways,
            channel,
            wait_min: WAIT_MIN,
        }
    }

    /// How many of its messages are under way at once. Each channel has places of its own: one that is silent keeps no other
    /// waiting.
    #[must_use]
    pub fn at_once(&self) -> usize {
        let way = self.ways.of(self.channel);
        way.map_or(AT_ONCE, |way| way.at_once())
    }

    /// With another first wait between attempts than 20 s.
    #[must_use]
    pub fn waiting(self, wait_min: Duration) -> Self {
        Self { wait_min, ..self }
    }

    /// Gives a command, which sets and clears the timer as its events want it.
    async fn give(
        &self,
        context: CommandContext,
        timer: &DueTimer,
        due: &Due,
        command: Command,
    ) -> Result<Executed, ExecuteError<notification::Error>> {
        let stream = Stream::<Notification>::new(due.id.clone());
        let (timer, wait_min, now) = (timer.clone(), self.wait_min, Utc::now());
        self.store
            .execute(stream, context, move |notification| {
                let events = notification.decide(command.clone())?;
                let timers = events
                    .iter()
                    .map(|event| after(event, &timer, wait_min, now));
                let timers = timers.collect();
                Ok(Decided::with_timers(events, timers))
            })
            .await
    }

    /// Writes down what became of an attempt, as often as it takes until a moment: what is not told by then is taken for
    /// lost, and then a message that was sent is one that was given up.
    async fn tell(
        &self,
        timer: &DueTimer,
        due: &Due,
        command: Command,
        until: Instant,
    ) -> anyhow::Result<()> {
        let telling = || {
            let context = acting_on(&self.store, "outcome", timer);
            self.give(context, timer, due, command.clone())
        };
        let waits = ExponentialBuilder::default()
            .with_min_delay(TELL_WAIT_MIN)
            .with_max_delay(TELL_WAIT_MAX)
            .with_jitter()
            .without_max_times();
        let telling = telling.retry(waits).when(may_pass).notify(|error, wait| {
            tracing::warn!(
                notification = due.id,
                again_in_seconds = wait.as_secs_f64(),
                %error,
                "the outcome of an attempt was not told, trying again"
            );
        });
        let told = timeout_at(until, telling).await;
        acted(told.context("the outcome of an attempt could not be told in time")?)?;
        Ok(())
    }

    /// Writes down that an attempt begins. False where it is not this one's to make.
    async fn attempt(
        &self,
        timer: &DueTimer,
        due: &Due,
        command: &Command,
    ) -> anyhow::Result<bool> {
        let mut unknown = false;
        for _ in 0..APPENDS_MAX {
            let context = acting_on(&self.store, "attempt", timer);
            match self.give(context, timer, due, command.clone()).await {
                // Found again what was appended a moment ago, in this call: nothing was sent in between.
                Ok(executed) if executed.replayed => return Ok(unknown),
                Ok(executed) => return Ok(executed.events > 0),
                Err(ExecuteError::OutcomeUnknown) => unknown = true,
                Err(error) => return acted(Err(error)).map(|_| false),
            }
        }
        anyhow::bail!("whether the attempt is in the log cannot be found out")
    }

    async fn send(&self, due: &Due) -> Result<(), SendError> {
        let Some(way) = self.ways.of(due.subject.channel) else {
            let channel = due.subject.channel.as_str();
            return Err(SendError::Refused(format!("there is no {channel} here")));
        };
        let email = self.email(due.subject.user_id).await;
        let email = email.map_err(|error| SendError::NotSent(error.to_string()))?;
        let (subject, body) =
            news::words(&due.subject.about, due.subject.order_id, &due.subject.facts);
        let message = Message {
            id: due.id.clone(),
            recipient: Recipient {
                user_id: due.subject.user_id,
                email,
            },
            subject,
            body,
            event_type: due.subject.about.clone(),
            occurred_at: due.occurred_at,
            data: json!({
                "user_id": due.subject.user_id,
                "order_id": due.subject.order_id,
                "facts": due.subject.facts,
            }),
        };
        way.send(&message).await
    }

    /// The user's address as it is now; none where there is none any more.
    async fn email(&self, user_id: UserId) -> anyhow::Result<Option<Email>> {
        let id = user_id.to_string();
        let users = self.store.states::<User>(std::slice::from_ref(&id));
        let user = users.await?.remove(&id);
        let Some(sealed) = user.and_then(|(user, _)| Some(user.account()?.email.clone())) else {
            return Ok(None);
        };
        let Some(key) = self.store.sealer().key(sealed.subject()).await? else {
            return Ok(None);
        };
        let bytes = key
            .open(sealed.ciphertext())
            .context("the e-mail address was sealed with another key")?;
        let email = String::from_utf8(bytes).context("the e-mail address is no text")?;
        Ok(Some(email.parse()?))
    }

    /// Takes away a timer that has nothing left to do.
    async fn drop_timer(&self, timer: &DueTimer, due: &Due) -> anyhow::Result<()> {
        let context = CommandContext {
            command: None,
            ..acting_on(&self.store, "drop", timer)
        };
        let name = timer.name.clone();
        let stream = Stream::<Notification>::new(due.id.clone());
        let dropped = self
            .store
            .execute(stream, context, move |notification| {
                let is_over = matches!(notification, Notification::Sent | Notification::GivenUp(_));
                let name = name.clone();
                let clear = is_over.then_some(TimerChange::Clear { name });
                let decided = Decided::with_timers(vec![], clear.into_iter().collect());
                Ok::<_, notification::Error>(decided)
            })
            .await;
        acted(dropped)?;
        Ok(())
    }
}

/// What an event makes of the timer: an attempt is looked after, a failure waits for the next one, an end ends it.
fn after(event: &Event, timer: &DueTimer, wait_min: Duration, now: DateTime<Utc>) -> TimerChange {
    let name = timer.name.clone();
    let wait = match event {
        Event::Attempted { .. } => OUTCOME_WAIT,
        Event::Failed {
            is_final: false,
            attempt,
            ..
        } => {
            let doubled = 1_u32.checked_shl(attempt.saturating_sub(1));
            let wait = wait_min.saturating_mul(doubled.unwrap_or(u32::MAX));
            wait.min(WAIT_MAX)
        }
        Event::Sent { .. } | Event::Failed { is_final: true, .. } => {
            return TimerChange::Clear { name };
        }
    };
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::zero());
    TimerChange::Set(Timer {
        name,
        due_at: timer.due_at.max(now) + wait,
        payload: timer.payload.clone(),
    })
}

/// Whether giving the command again may end otherwise. It has an id: it happens once.
fn may_pass(error: &ExecuteError<notification::Error>) -> bool {
    match error {
        ExecuteError::InFlight | ExecuteError::Overloaded | ExecuteError::OutcomeUnknown => true,
        ExecuteError::Refused { .. }
        | ExecuteError::VersionMismatch { .. }
        | ExecuteError::KeyReused
        | ExecuteError::Invalid(_)
        | ExecuteError::Corrupt(_)
        | ExecuteError::Closed => false,
    }
}

#[async_trait]
impl TimerHandler for Sending {
    fn prefix(&self) -> &'static str {
        prefix(self.channel)
    }

    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()> {
        let due: Due = serde_json::from_value(timer.payload.clone())?;
        let until = Instant::now() + (OUTCOME_WAIT - OUTCOME_MARGIN);
        let states = self
            .store
            .states::<Notification>(std::slice::from_ref(&due.id));
        let state = states.await?.remove(&due.id).map(|(state, _)| state);
        let begin = match state.unwrap_or_default() {
            Notification::New | Notification::Waiting(_) => Command::Attempt(due.subject.clone()),
            Notification::Attempted(_) => {
                let error = "the outcome of the attempt was lost".to_owned();
                let command = Command::GiveUp { error };
                return self.tell(timer, &due, command, until).await;
            }
            Notification::GivenUp(_) if due.retry => Command::Retry,
            Notification::Sent | Notification::GivenUp(_) => {
                return self.drop_timer(timer, &due).await;
            }
        };
        if !self.attempt(timer, &due, &begin).await? {
            return Ok(());
        }
        fail::fail_point!("notification-attempted");
        let outcome = self.send(&due).await;
        fail::fail_point!("notification-sent");
        let outcome = match outcome {
            Ok(()) => Command::MarkSent,
            Err(error @ SendError::NotSent(_)) => Command::Fail {
                error: error.to_string(),
            },
            Err(error @ (SendError::Refused(_) | SendError::Unknown(_))) => Command::GiveUp {
                error: error.to_string(),
            },
        };
        self.tell(timer, &due, outcome, until).await
    }
}
