//! `payment`: charges what the sagas ask for, and gives it back. The request becomes an event of the payment and a timer that
//! is due at once; whoever acts on the timer calls the provider. So a provider that is silent holds up nobody else, and
//! after a crash it is called again, under the same key.

mod calls;
mod refunds;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::payment::{self, Call, Command, Due, Event};
use domain::{Fulfilment, OrderId, Payment, PaymentId, Return, fulfilment, return_goods};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, ExecuteError, Executed, Metadata, ReactError,
    Reactor, RecordedEvent, Stream, Timer, TimerChange,
};

use crate::command::{answering, give, read, settled, stream_id};

pub use calls::PaymentCalls;
pub use refunds::{REFUND, Refunds};

/// The reactor's name.
pub const NAME: &str = "payment";

/// Answers the sagas' requests for money.
pub struct Payments {
    store: EventStore,
}

impl Payments {
    /// Appends to `store`.
    #[must_use]
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl Reactor for Payments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        &[Fulfilment::TYPE, Return::TYPE]
    }

    fn begins(&self) -> Begins {
        Begins::AtStart
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let Some((payment_id, command)) = asked(event)? else {
            return Ok(());
        };
        let name = match command {
            Command::Initiate { .. } => "initiate",
            _ => "refund",
        };
        let context = answering(&self.store, NAME, name, event);
        // By the database's clock, as timers are read by it.
        let due_at = event.recorded_at;
        let act = |context| change(&self.store, context, payment_id, command.clone(), due_at);
        fail::fail_point!("payment-asked");
        settled(give(context, act).await)?;
        fail::fail_point!("payment-begun");
        Ok(())
    }
}

/// Decides a command on a payment, with the timers that go with its events: consequences of the same as these.
async fn change(
    store: &EventStore,
    context: CommandContext,
    payment_id: PaymentId,
    command: Command,
    due_at: DateTime<Utc>,
) -> Result<Executed, ExecuteError<payment::Error>> {
    let stream = Stream::<Payment>::new(payment_id.to_string());
    let cause = context.metadata();
    store
        .execute(stream, context, move |payment| {
            let events = payment.decide(command.clone())?;
            let timers = timers(payment_id, &events, due_at, &cause);
            Ok(Decided::with_timers(events, timers))
        })
        .await
}

/// Which calls of the provider events begin and end; what is due now, and as a consequence of what.
fn timers(
    payment_id: PaymentId,
    events: &[Event],
    due_at: DateTime<Utc>,
    cause: &Metadata,
) -> Vec<TimerChange> {
    let set = |call: Call| {
        let attempt = 1;
        let due = Due {
            payment_id,
            attempt,
        };
        let name = call.timer_name(payment_id);
        TimerChange::Set(Timer::new(name, due_at, due, cause))
    };
    let clear = |call: &Call| {
        let name = call.timer_name(payment_id);
        TimerChange::Clear { name }
    };
    let of_event = |event: &Event| {
        let ended = event.ends().iter().map(clear);
        ended.chain(event.begins().map(set)).collect::<Vec<_>>()
    };
    events.iter().flat_map(of_event).collect()
}

/// What the event asks of payment, if anything.
fn asked(event: &RecordedEvent) -> Result<Option<(PaymentId, Command)>, ReactError> {
    let order_id: OrderId = stream_id(event)?;
    if event.aggregate_type == Return::TYPE {
        return Ok(match read(event)? {
            return_goods::Event::RefundRequested {
                payment_id,
                attempt,
            } => Some((payment_id, Command::Refund { order_id, attempt })),
            return_goods::Event::Started(_)
            | return_goods::Event::RestockRequested { .. }
            | return_goods::Event::AttemptFailed { .. }
            | return_goods::Event::Parked { .. }
            | return_goods::Event::Retried
            | return_goods::Event::Completed => None,
        });
    }
    use fulfilment::Event;
    Ok(match read(event)? {
        Event::PaymentRequested {
            payment_id,
            customer_id,
            amount,
            token,
            ..
        } => Some((
            payment_id,
            Command::Initiate {
                order_id,
                customer_id,
                amount,
                token,
            },
        )),
        Event::RefundRequested {
            payment_id,
            attempt,
        } => Some((payment_id, Command::Refund { order_id, attempt })),
        Event::Started(_)
        | Event::ReservationRequested { .. }
        | Event::DeliveryRequested { .. }
        | Event::CommitRequested { .. }
        | Event::DeliveryCancellationRequested { .. }
        | Event::ReleaseRequested { .. }
        | Event::CompensationStarted { .. }
        | Event::AttemptFailed { .. }
        | Event::Parked { .. }
        | Event::Retried
        | Event::Completed
        | Event::Cancelled { .. } => None,
    })
}
