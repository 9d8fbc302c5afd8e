//! `fulfilment`: the sagas. What happened to an order and its participants becomes an input; the saga's answer, its timer and
//! the order's new status are one append.

mod inputs;
mod timers;

use anyhow::anyhow;
use async_trait::async_trait;
use cqrs_es::Aggregate;
use domain::fulfilment::{self, Input, Patience};
use domain::order::{self, Status};
use domain::{
    Delivery, Fulfilment, Order, OrderId, Payment, PaymentId, Reservation, Return, return_goods,
};
use eventstore::{
    Begins, CommandContext, Decided, EventStore, ExecuteError, Executed, ReactError, Reactor,
    RecordedEvent, StatesError, Stream,
};

use serde::{Deserialize, Serialize};

use self::inputs::Heard;
use self::timers::Clock;
use crate::command::{answering, give, settled};

pub use self::timers::SagaTimers;

/// The reactor's name.
pub const NAME: &str = "fulfilment";

/// Tells the sagas what happened. Cheap to clone.
#[derive(Clone)]
pub struct Sagas {
    store: EventStore,
    patience: Patience,
}

impl Sagas {
    /// Appends to `store`; participants get as long to answer as `patience` says.
    #[must_use]
    pub fn new(store: EventStore, patience: Patience) -> Self {
        Self { store, patience }
    }

    /// Tells the saga of fulfilment.
    async fn fulfil(
        &self,
        context: CommandContext,
        order_id: OrderId,
        clock: Clock,
        input: Input,
    ) -> Result<Executed, ExecuteError<fulfilment::Error>> {
        let streams = (
            Stream::<Fulfilment>::new(order_id.to_string()),
            Stream::<Order>::new(order_id.to_string()),
        );
        let patience = self.patience;
        self.store
            .execute(streams, context, move |(saga, order)| {
                let events = fulfilment::advance(saga, order, input.clone())?;
                let timer = clock.timer(order_id, saga, &events.0, &patience);
                Ok(Decided::with_timers(events, Vec::from_iter(timer)))
            })
            .await
    }

    /// Tells both sagas: what is undone may be an order that was completed, or one that was not. The streams stand in the
    /// order of who is likely to answer: a command's first event is in its first stream.
    async fn undo(
        &self,
        context: CommandContext,
        order_id: OrderId,
        likely: Likely,
        clock: Clock,
        undone: Undone,
    ) -> Result<Executed, ExecuteError<Refusal>> {
        let id = order_id.to_string();
        let saga = Stream::<Fulfilment>::new(&id);
        let returning = Stream::<Return>::new(&id);
        let order = Stream::<Order>::new(&id);
        let payment = Stream::<Payment>::new(undone.payment().to_string());
        let patience = self.patience;
        let decide = move |saga: &Fulfilment, back: &Return, order: &Order, payment: &Payment| {
            let (events, returned, order_events) = undone.decide(saga, back, order, payment)?;
            let likely = match likely {
                Likely::Fulfilment => events.is_empty(),
                Likely::Return => returned.is_empty(),
            };
            if likely && !(events.is_empty() && returned.is_empty() && order_events.is_empty()) {
                return Err(Refusal::Meanwhile);
            }
            let timers = [
                clock.timer(order_id, saga, &events, &patience),
                clock.timer(order_id, back, &returned, &patience),
            ];
            let timers = timers.into_iter().flatten().collect();
            Ok((events, returned, order_events, timers))
        };
        match likely {
            Likely::Fulfilment => {
                let streams = (saga, returning, order, payment);
                self.store
                    .execute(streams, context, move |(saga, back, order, payment)| {
                        let (events, returned, of_order, timers) =
                            decide(saga, back, order, payment)?;
                        let events = (events, returned, of_order, vec![]);
                        Ok(Decided::with_timers(events, timers))
                    })
                    .await
            }
            Likely::Return => {
                let streams = (returning, saga, order, payment);
                self.store
                    .execute(streams, context, move |(back, saga, order, payment)| {
                        let (events, returned, of_order, timers) =
                            decide(saga, back, order, payment)?;
                        let events = (returned, events, of_order, vec![]);
                        Ok(Decided::with_timers(events, timers))
                    })
                    .await
            }
        }
    }

    /// Which of the two has the order now.
    async fn likely(&self, order_id: OrderId) -> Result<Likely, StatesError> {
        let id = order_id.to_string();
        let orders = self.store.states::<Order>(std::slice::from_ref(&id));
        let order = orders.await?.remove(&id);
        let status = order.and_then(|(order, _)| Some(order.progress()?.status));
        Ok(match status {
            Some(Status::Completed | Status::Returned) => Likely::Return,
            _ => Likely::Fulfilment,
        })
    }

    /// What comes back of an order, read from where its saga began.
    async fn plan_of(&self, order_id: OrderId) -> Result<Option<return_goods::Plan>, ReactError> {
        let id = order_id.to_string();
        let first = self
            .store
            .stream_events(Fulfilment::TYPE, &id, 0, 1)
            .await?;
        let Some(first) = first.into_iter().next() else {
            return Ok(None);
        };
        let started = self.store.upcast(first).decode::<fulfilment::Event>()?;
        Ok(match started {
            fulfilment::Event::Started(plan) => Some(return_goods::Plan {
                store_id: plan.store_id,
                items: plan.items,
                payment_id: plan.payment_id,
            }),
            _ => None,
        })
    }
}

/// Which saga has an order.
#[derive(Debug, Clone, Copy)]
enum Likely {
    Fulfilment,
    Return,
}

/// What both sagas hear.
#[derive(Debug, Clone)]
enum Undone {
    /// A step was undone, or could not be.
    Step {
        payment_id: PaymentId,
        input: Input,
        returned: return_goods::Input,
    },
    /// A delivery failed for good; this is what would come back.
    Delivery(return_goods::Plan),
}

type BothDecided = Result<
    (
        Vec<fulfilment::Event>,
        Vec<return_goods::Event>,
        Vec<order::Event>,
    ),
    Refusal,
>;

impl Undone {
    fn payment(&self) -> PaymentId {
        match self {
            Undone::Step { payment_id, .. } => *payment_id,
            Undone::Delivery(plan) => plan.payment_id,
        }
    }

    fn decide(
        &self,
        saga: &Fulfilment,
        returning: &Return,
        order: &Order,
        payment: &Payment,
    ) -> BothDecided {
        match self {
            Undone::Step {
                input, returned, ..
            } => {
                let (events, mut of_order) = fulfilment::advance(saga, order, input.clone())?;
                let (back, more) = return_goods::advance(returning, order, returned.clone())?;
                of_order.extend(more);
                Ok((events, back, of_order))
            }
            Undone::Delivery(plan) => Ok(return_goods::delivery_failed(
                saga,
                returning,
                order,
                payment,
                plan.clone(),
            )?),
        }
    }
}

/// Why a saga did not take something in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Refusal {
    #[error(transparent)]
    Fulfilment(#[from] fulfilment::Error),
    #[error(transparent)]
    Return(#[from] return_goods::Error),
    /// The other saga has the order by now: to be told again.
    #[error("the order was completed meanwhile")]
    Meanwhile,
}

#[async_trait]
impl Reactor for Sagas {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        &[
            Order::TYPE,
            Reservation::TYPE,
            Payment::TYPE,
            Delivery::TYPE,
        ]
    }

    fn begins(&self) -> Begins {
        Begins::AtStart
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        let Some((order_id, heard)) = inputs::heard(event)? else {
            return Ok(());
        };
        let clock = Clock::answering(event);
        let context = answering(&self.store, NAME, heard.name(), event);
        let undone = match heard {
            Heard::Forward(input) => {
                let fulfil = |context| self.fulfil(context, order_id, clock.clone(), input.clone());
                fail::fail_point!("saga-told");
                settled(give(context, fulfil).await)?;
                fail::fail_point!("saga-advanced");
                return Ok(());
            }
            Heard::Undone(input, returned) => {
                self.plan_of(order_id).await?.map(|plan| Undone::Step {
                    payment_id: plan.payment_id,
                    input,
                    returned,
                })
            }
            Heard::DeliveryFailed => self.plan_of(order_id).await?.map(Undone::Delivery),
        };
        let Some(undone) = undone else {
            // A tombstone's order was never placed: nobody waits.
            return Ok(());
        };
        let likely = self.likely(order_id).await?;
        let undo = |context| self.undo(context, order_id, likely, clock.clone(), undone.clone());
        match likely {
            Likely::Fulfilment => fail::fail_point!("saga-told-undone"),
            Likely::Return => fail::fail_point!("return-told"),
        }
        let outcome = give(context, undo).await;
        match likely {
            Likely::Fulfilment => fail::fail_point!("saga-undone"),
            Likely::Return => fail::fail_point!("return-advanced"),
        }
        if let Err(ExecuteError::Refused {
            error: Refusal::Meanwhile,
            ..
        }) = outcome
        {
            return Err(anyhow!("the order was completed meanwhile").into());
        }
        settled(outcome)?;
        Ok(())
    }
}
