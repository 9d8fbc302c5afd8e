//! `delivery`: books an hour for an order, and gives it back. Each request is one append over the delivery, the hours that
//! it may be booked in, and the store's capacity.

use anyhow::anyhow;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cqrs_es::Aggregate;
use domain::delivery::{self, Request, SLOTS_AHEAD};
use domain::slot::SlotId;
use domain::{Capacity, Delivery, DeliveryId, Fulfilment, OrderId, Slot, fulfilment};
use eventstore::{
    Begins, CommandContext, EventStore, ExecuteError, Executed, ReactError, Reactor, RecordedEvent,
    StatesError, Stream,
};

use crate::command::{answering, give, read, settled, stream_id};

/// The reactor's name.
pub const NAME: &str = "delivery";

/// Answers the saga's requests for couriers.
pub struct Deliveries {
    store: EventStore,
}

impl Deliveries {
    /// Appends to `store`.
    #[must_use]
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }

    async fn schedule(
        &self,
        context: CommandContext,
        now: DateTime<Utc>,
        request: Request,
    ) -> Result<Executed, ExecuteError<delivery::Error>> {
        let first = SlotId::containing(request.store_id.clone(), now);
        let ids: Vec<SlotId> = (0..SLOTS_AHEAD).map(|hours| first.later(hours)).collect();
        let slots: Vec<_> = ids
            .iter()
            .map(|id| Stream::<Slot>::new(id.to_string()))
            .collect();
        let streams = (
            Stream::<Delivery>::new(request.delivery_id.to_string()),
            slots,
            Stream::<Capacity>::new(request.store_id.as_str()),
        );
        self.store
            .execute(streams, context, move |(delivery, slots, capacity)| {
                let slots: Vec<_> = ids.iter().zip(slots).collect();
                let decided = delivery::schedule(delivery, &slots, capacity, request.clone());
                decided.map(|(delivery, slots)| (delivery, slots, vec![]))
            })
            .await
    }

    /// The hour that it is booked in, if it is.
    async fn booked(&self, delivery_id: DeliveryId) -> Result<Option<SlotId>, StatesError> {
        let id = delivery_id.to_string();
        let states = self.store.states::<Delivery>(std::slice::from_ref(&id));
        let known = states.await?.remove(&id);
        let booked = known.and_then(|(delivery, _)| delivery.run()?.booked.clone());
        Ok(booked.map(|(store_id, starts_at)| SlotId {
            store_id,
            starts_at,
        }))
    }

    async fn cancel(
        &self,
        context: CommandContext,
        slot: Option<SlotId>,
        delivery_id: DeliveryId,
        order_id: OrderId,
    ) -> Result<Executed, ExecuteError<delivery::Error>> {
        let slots: Vec<_> = slot
            .iter()
            .map(|id| Stream::<Slot>::new(id.to_string()))
            .collect();
        let streams = (Stream::<Delivery>::new(delivery_id.to_string()), slots);
        self.store
            .execute(streams, context, move |(delivery, states)| {
                let slot = slot.as_ref().zip(states.first().copied());
                let decided = delivery::cancel(delivery, slot, delivery_id, order_id);
                decided.map(|(delivery, slot)| {
                    (delivery, states.iter().map(|_| slot.clone()).collect())
                })
            })
            .await
    }
}

#[async_trait]
impl Reactor for Deliveries {
    fn name(&self) -> &'static str {
        NAME
    }

    fn reads(&self) -> &'static [&'static str] {
        &[Fulfilment::TYPE]
    }

    fn begins(&self) -> Begins {
        Begins::AtStart
    }

    async fn react(&self, event: &RecordedEvent) -> Result<(), ReactError> {
        use fulfilment::Event;
        match read(event)? {
            Event::DeliveryRequested {
                delivery_id,
                customer_id,
                store_id,
                address,
                ..
            } => {
                let request = Request {
                    delivery_id,
                    order_id: stream_id(event)?,
                    customer_id,
                    store_id,
                    address,
                };
                // What was held up does not book an hour that lies behind.
                let now = Utc::now().max(event.recorded_at);
                let context = answering(&self.store, NAME, "schedule", event);
                let schedule = |context| self.schedule(context, now, request.clone());
                fail::fail_point!("delivery-asked");
                settled(give(context, schedule).await)?;
                fail::fail_point!("delivery-answered");
            }
            Event::DeliveryCancellationRequested { delivery_id, .. } => {
                let order_id = stream_id(event)?;
                let slot = self.booked(delivery_id).await?;
                let context = answering(&self.store, NAME, "cancel", event);
                let cancel = |context| self.cancel(context, slot.clone(), delivery_id, order_id);
                fail::fail_point!("delivery-cancelling");
                let cancelled = give(context, cancel).await;
                fail::fail_point!("delivery-cancelled");
                if let Err(ExecuteError::Refused {
                    error: delivery::Error::SlotMismatch,
                    ..
                }) = cancelled
                {
                    return Err(anyhow!("the delivery was booked meanwhile").into());
                }
                settled(cancelled)?;
            }
            Event::Started(_)
            | Event::ReservationRequested { .. }
            | Event::PaymentRequested { .. }
            | Event::CommitRequested { .. }
            | Event::RefundRequested { .. }
            | Event::ReleaseRequested { .. }
            | Event::CompensationStarted { .. }
            | Event::AttemptFailed { .. }
            | Event::Parked { .. }
            | Event::Retried
            | Event::Completed
            | Event::Cancelled { .. } => {}
        }
        Ok(())
    }
}
