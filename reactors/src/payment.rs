//! `payment`: charges what the sagas ask for, and gives it back. The request becomes an event of the payment and a timer that
//! is due at once; whoever acts on the timer calls the provider. So a provider that is silent holds up nobody else, and
//! after a crash it is called again, under the same key.

mod calls;

use async_trait::async_trait;
use cqrs_es::Aggregate;
use domain::payment::{self, Command, Event};
use domain::{Fulfilment, OrderId, Payment, PaymentId, Return, fulfilment, return_goods};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, ExecuteError, Executed, ReactError, Reactor,
    RecordedEvent, Stream, Timer, TimerChange,
};
use serde_json::{Value, json};

use crate::command::{answering, cause, give, read, settled, stream_id, with_cause};

pub use calls::PaymentCalls;

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
        let due = Due {
            // By the database's clock, as timers are read by it.
            at: event.recorded_at,
            cause: cause(event),
        };
        let act = |context| {
            change(
                &self.store,
                context,
                payment_id,
                command.clone(),
                due.clone(),
            )
        };
        fail::fail_point!("payment-asked");
        settled(give(context, act).await)?;
        fail::fail_point!("payment-begun");
        Ok(())
    }
}

/// When the provider is to be called for what a command begins, and what for.
#[derive(Clone)]
struct Due {
    at: chrono::DateTime<chrono::Utc>,
    cause: Value,
}

/// Decides a command on a payment, with the timers that go with its events.
async fn change(
    store: &EventStore,
    context: CommandContext,
    payment_id: PaymentId,
    command: Command,
    due: Due,
) -> Result<Executed, ExecuteError<payment::Error>> {
    let stream = Stream::<Payment>::new(payment_id.to_string());
    store
        .execute(stream, context, move |payment| {
            let events = payment.decide(command.clone())?;
            let timers = events
                .iter()
                .flat_map(|event| timers(payment_id, event, &due))
                .collect();
            Ok(Decided::with_timers(events, timers))
        })
        .await
}

/// Which calls of the provider an event begins and ends.
fn timers(payment_id: PaymentId, event: &Event, due: &Due) -> Vec<TimerChange> {
    let set = |name: String| {
        let payload = json!({"payment_id": payment_id, "attempt": 1});
        TimerChange::Set(Timer {
            name,
            due_at: due.at,
            payload: with_cause(payload, due.cause.clone()),
        })
    };
    let clear = |name: String| TimerChange::Clear { name };
    let (charge, refund) = (charge_timer(payment_id), refund_timer(payment_id));
    match event {
        Event::Initiated { .. } => vec![set(charge)],
        Event::Completed { .. } => vec![clear(charge)],
        Event::RefundRequested { .. } => vec![clear(charge), set(refund)],
        Event::Failed { .. } => vec![clear(charge), clear(refund)],
        Event::Refunded { .. } | Event::RefundFailed { .. } => vec![clear(refund)],
    }
}

const PREFIX: &str = "payment/";
const CHARGE: &str = "payment/charge/";
const REFUND: &str = "payment/refund/";

fn charge_timer(payment_id: PaymentId) -> String {
    format!("{CHARGE}{payment_id}")
}

fn refund_timer(payment_id: PaymentId) -> String {
    format!("{REFUND}{payment_id}")
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
