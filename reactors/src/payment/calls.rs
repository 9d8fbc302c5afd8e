//! Calling the payment provider.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::payment::{self, Call, Charge as Charged, Command, Due, Refunding, TIMERS};
use domain::{Payment, PaymentId, PaymentToken};
use eventstore::{
    CommandContext, Decided, DueTimer, EventStore, Stream, Timer, TimerChange, TimerHandler,
};

use super::change;
use crate::command::{acted, acting_on, give};
use crate::payment_provider::{
    Charge, ChargeOutcome, PaymentProvider, Refund, RefundOutcome, Unavailable,
};

/// Calls for one charge, each with the provider's own retry. Then the saga's patience is over anyway.
const CHARGES_MAX: u32 = 10;

/// Waits between the calls for one charge: doubled from the first to the second.
const WAIT_MIN: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Calls the provider for what was asked for, once a timer says so.
pub struct PaymentCalls {
    store: EventStore,
    provider: Arc<dyn PaymentProvider>,
}

impl PaymentCalls {
    /// Most calls under way at once: as many as the provider lets in, or fewer.
    pub const AT_ONCE: usize = 256;

    /// Appends to `store` what `provider` says. The provider is to answer within a deadline, or say that it did not.
    #[must_use]
    pub fn new(store: EventStore, provider: Arc<dyn PaymentProvider>) -> Self {
        Self { store, provider }
    }

    async fn charge(&self, timer: &DueTimer, due: Due, charge: Charged) -> anyhow::Result<()> {
        let Due {
            payment_id,
            attempt,
        } = due;
        let Some(token) = self.token(&charge).await? else {
            // A call may have been made before, and its answer lost: that it was declined cannot be said.
            tracing::warn!(%payment_id, attempt, "the customer is erased, the payment is left to time out");
            return self.leave(timer, payment_id).await;
        };
        let asked = Charge {
            payment_id,
            amount: charge.amount,
            token,
            attempt,
        };
        fail::fail_point!("payment-charging");
        let outcome = self.provider.charge(&asked).await;
        fail::fail_point!("payment-charged");
        match outcome {
            Ok(ChargeOutcome::Charged { reference }) => {
                self.tell(timer, payment_id, Command::Complete { reference })
                    .await
            }
            Ok(ChargeOutcome::Declined { reason }) => {
                let detail = Some(reason);
                self.tell(timer, payment_id, Command::Decline { detail })
                    .await
            }
            Err(error) => self.charge_later(timer, payment_id, attempt, &error).await,
        }
    }

    /// What the customer pays with; none where it cannot be read any more.
    async fn token(&self, charge: &Charged) -> anyhow::Result<Option<PaymentToken>> {
        let key = self.store.sealer().key(charge.token.subject()).await?;
        let Some(key) = key else {
            return Ok(None);
        };
        let bytes = key
            .open(charge.token.ciphertext())
            .context("the payment token was sealed with another key")?;
        let token = String::from_utf8(bytes).context("the payment token is no text")?;
        Ok(Some(token.parse()?))
    }

    async fn refund(
        &self,
        timer: &DueTimer,
        payment_id: PaymentId,
        refunding: Refunding,
    ) -> anyhow::Result<()> {
        let asked = Refund {
            payment_id,
            amount: refunding.charge.amount,
            charged: refunding.charge.reference,
            attempt: refunding.attempt,
        };
        fail::fail_point!("payment-refunding");
        let outcome = self.provider.refund(&asked).await;
        fail::fail_point!("payment-refunded");
        let command = match outcome {
            Ok(RefundOutcome::Refunded { reference }) => Command::MarkRefunded { reference },
            Ok(RefundOutcome::NothingCharged) if refunding.charged => Command::FailRefund {
                error: "the provider knows nothing of the charge".to_owned(),
            },
            Ok(RefundOutcome::NothingCharged) => Command::MarkVoided,
            Err(error) => Command::FailRefund {
                error: error.to_string(),
            },
        };
        self.tell(timer, payment_id, command).await
    }

    /// Writes down what the provider said; the events clear the timer.
    async fn tell(
        &self,
        timer: &DueTimer,
        payment_id: PaymentId,
        command: Command,
    ) -> anyhow::Result<()> {
        let context = acting_on(&self.store, name_of(&command), timer);
        let tell = |context| {
            change(
                &self.store,
                context,
                payment_id,
                command.clone(),
                timer.due_at,
            )
        };
        acted(give(context, tell).await)?;
        fail::fail_point!("payment-told");
        Ok(())
    }

    async fn charge_later(
        &self,
        timer: &DueTimer,
        payment_id: PaymentId,
        attempt: u32,
        error: &Unavailable,
    ) -> anyhow::Result<()> {
        tracing::warn!(%payment_id, attempt, %error, "the payment provider gave no answer");
        fail::fail_point!("payment-unanswered");
        if attempt >= CHARGES_MAX {
            return self.leave(timer, payment_id).await;
        }
        let due_at = later(timer.due_at, attempt);
        let attempt = attempt + 1;
        let due = Due {
            payment_id,
            attempt,
        };
        let again = Timer::new(timer.name.clone(), due_at, due, &timer.cause());
        self.move_timer(timer, payment_id, TimerChange::Set(again))
            .await
    }

    /// Calls for the charge no more, and says nothing of it: when the saga's patience is over its refund settles by the key
    /// what became of the money.
    async fn leave(&self, timer: &DueTimer, payment_id: PaymentId) -> anyhow::Result<()> {
        let name = timer.name.clone();
        self.move_timer(timer, payment_id, TimerChange::Clear { name })
            .await
    }

    /// Moves the timer, or clears it, unless the charge was settled meanwhile: then it is gone.
    async fn move_timer(
        &self,
        timer: &DueTimer,
        payment_id: PaymentId,
        change: TimerChange,
    ) -> anyhow::Result<()> {
        let stream = Stream::<Payment>::new(payment_id.to_string());
        let waited = self
            .store
            .execute(
                stream,
                without_id(&self.store, "wait", timer),
                move |payment| {
                    let outstanding = matches!(payment, Payment::Initiated(_));
                    let timers = outstanding.then(|| change.clone()).into_iter().collect();
                    Ok::<_, payment::Error>(Decided::with_timers(vec![], timers))
                },
            )
            .await;
        acted(waited)?;
        Ok(())
    }

    /// A timer whose work is done already, or was called off.
    async fn drop_timer(&self, timer: &DueTimer, payment_id: PaymentId) -> anyhow::Result<()> {
        let name = timer.name.clone();
        let is_charge = name == Call::Charge.timer_name(payment_id);
        let stream = Stream::<Payment>::new(payment_id.to_string());
        let dropped = self
            .store
            .execute(
                stream,
                without_id(&self.store, "drop", timer),
                move |payment| {
                    let wanted = match payment {
                        Payment::Initiated(_) => is_charge,
                        Payment::Refunding(_) => !is_charge,
                        _ => false,
                    };
                    let name = name.clone();
                    let clear = (!wanted).then_some(TimerChange::Clear { name });
                    let timers = clear.into_iter().collect();
                    Ok::<_, payment::Error>(Decided::with_timers(vec![], timers))
                },
            )
            .await;
        acted(dropped)?;
        Ok(())
    }
}

/// Of what appends nothing: decided anew each time.
fn without_id(store: &EventStore, name: &'static str, timer: &DueTimer) -> CommandContext {
    CommandContext {
        command: None,
        ..acting_on(store, name, timer)
    }
}

/// By the timer's own clock, which is the database's: what this process's says stays out of it but for how late it is.
fn later(due_at: DateTime<Utc>, attempt: u32) -> DateTime<Utc> {
    let doubled = 1_u32
        .checked_shl(attempt.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let wait = WAIT_MIN.saturating_mul(doubled).min(WAIT_MAX);
    let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::zero());
    due_at.max(Utc::now()) + wait
}

fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Initiate { .. } => "initiate",
        Command::Complete { .. } => "complete",
        Command::Decline { .. } => "decline",
        Command::Refund { .. } => "refund",
        Command::MarkRefunded { .. } => "mark-refunded",
        Command::MarkVoided => "mark-voided",
        Command::FailRefund { .. } => "fail-refund",
    }
}

#[async_trait]
impl TimerHandler for PaymentCalls {
    fn prefix(&self) -> &'static str {
        TIMERS
    }

    async fn fire(&self, timer: &DueTimer) -> anyhow::Result<()> {
        let due: Due = serde_json::from_value(timer.payload.clone())?;
        let payment_id = due.payment_id;
        let id = payment_id.to_string();
        let states = self.store.states::<Payment>(std::slice::from_ref(&id));
        let known = states.await?.remove(&id).map(|(payment, _)| payment);
        let is_charge = timer.name == Call::Charge.timer_name(payment_id);
        match known {
            Some(Payment::Initiated(charge)) if is_charge => self.charge(timer, due, charge).await,
            Some(Payment::Refunding(refunding)) if !is_charge && refunding.failed => {
                let (order_id, attempt) = (refunding.charge.order_id, refunding.attempt + 1);
                self.tell(timer, payment_id, Command::Refund { order_id, attempt })
                    .await
            }
            Some(Payment::Refunding(refunding)) if !is_charge => {
                self.refund(timer, payment_id, refunding).await
            }
            _ => self.drop_timer(timer, payment_id).await,
        }
    }
}
