//! Everything there is: the streams of some orders, what they share, and what is under way.

use std::collections::BTreeMap;

use cqrs_es::Aggregate;
use domain::order::{Item, Placement};
use domain::reservation::Line;
use domain::slot::SlotId;
use domain::stock::{self, StockId};
use domain::{
    Capacity, Currency, Delivery, DeliveryId, Fulfilment, Order, OrderId, Payment, PaymentId,
    Price, ProductId, Quantity, Reservation, Return, Sealed, Slot, Stock, StoreId, UserId,
    capacity, delivery, fulfilment, order, payment, reservation, return_goods,
};
use proptest::prelude::*;
use uuid::Uuid;

use super::provider::{Call, Provider};

/// Hours that a delivery is booked in, if they have a place.
pub const HOURS: u32 = 2;

/// What a world begins with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Pieces of each order, of two SKUs; none of the second is no line.
    pub orders: Vec<(u32, u32)>,
    /// Pieces in the store, of the same.
    pub stocks: (u32, u32),
    /// Deliveries an hour.
    pub per_hour: u32,
    /// So many steps go by as they should before anything else happens: an order takes about twenty to its end.
    pub calm: u32,
}

/// Few of everything, so that orders are in each other's way.
pub fn setup() -> impl Strategy<Value = Setup> {
    let orders = proptest::collection::vec((1..4_u32, 0..3_u32), 1..4);
    let per_hour = prop_oneof![1 => Just(0_u32), 6 => 1..3_u32];
    let calm = prop_oneof![1 => Just(0_u32), 1 => 1..70_u32];
    (orders, (2..12_u32, 2..9_u32), per_hour, calm).prop_map(|(orders, stocks, per_hour, calm)| {
        Setup {
            orders,
            stocks,
            per_hour,
            calm,
        }
    })
}

/// A stream: what was appended to it, and what it comes to.
pub struct Log<A: Aggregate> {
    pub state: A,
    pub events: Vec<A::Event>,
}

impl<A: Aggregate> Default for Log<A> {
    fn default() -> Self {
        Self {
            state: A::default(),
            events: Vec::new(),
        }
    }
}

impl<A: Aggregate> Log<A> {
    /// History that was not allowed panics here.
    pub fn append(&mut self, events: Vec<A::Event>) {
        for event in events {
            self.state.apply(event.clone());
            self.events.push(event);
        }
    }

    pub fn count(&self, is: impl Fn(&A::Event) -> bool) -> u32 {
        let number = self.events.iter().filter(|event| is(event)).count();
        u32::try_from(number).unwrap()
    }
}

/// An event on its way to whoever reacts to it.
#[derive(Debug, Clone)]
pub struct Message {
    /// Of which order, by its place.
    pub order: usize,
    pub event: Told,
}

#[derive(Debug, Clone)]
pub enum Told {
    Order(order::Event),
    Reservation(reservation::Event),
    Payment(payment::Event),
    Delivery(delivery::Event),
    Fulfilment(fulfilment::Event),
    Return(return_goods::Event),
}

/// A timer as whoever fires it has read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    Fulfilment(fulfilment::Step, u32),
    Return(return_goods::Step, u32),
    Charge,
    Refund,
}

/// The timers of an order that are set, and those that were: somebody may have read them before.
#[derive(Default)]
pub struct Timers {
    pub set: Vec<Timer>,
    pub gone: Vec<Timer>,
}

impl Timers {
    /// Sets `timer` in place of the one of its kind, or clears that.
    pub fn replace(&mut self, kind: fn(&Timer) -> bool, timer: Option<Timer>) {
        let (old, mut set): (Vec<Timer>, Vec<Timer>) = self.set.iter().partition(|it| kind(it));
        if old.first() == timer.as_ref() {
            return;
        }
        self.gone.extend(old);
        set.extend(timer);
        self.set = set;
    }
}

/// The streams of one order.
pub struct Books {
    pub order_id: OrderId,
    pub payment_id: PaymentId,
    pub delivery_id: DeliveryId,
    pub items: Vec<Line>,
    pub order: Log<Order>,
    pub fulfilment: Log<Fulfilment>,
    pub returning: Log<Return>,
    pub reservation: Log<Reservation>,
    pub payment: Log<Payment>,
    pub delivery: Log<Delivery>,
    pub timers: Timers,
    /// Whether somebody wanted to cancel it when it had ended.
    pub cancelled_too_late: bool,
    /// Whether its payment asked for a refund again that no saga waited for.
    pub asked_itself: bool,
    /// Whether everything was arranged when the order was completed.
    pub was_arranged: bool,
}

impl Books {
    /// Goods gone, money taken, delivery booked.
    fn is_arranged(&self) -> bool {
        let booked = self.delivery.state.run().map(|run| run.booked.is_some());
        matches!(self.reservation.state, Reservation::Committed(_))
            && matches!(self.payment.state, Payment::Completed(_))
            && booked == Some(true)
    }
}

pub struct World {
    pub orders: Vec<Books>,
    pub stocks: BTreeMap<StockId, Log<Stock>>,
    pub slots: BTreeMap<SlotId, Log<Slot>>,
    pub capacity: Capacity,
    pub provider: Provider,
    pub calls: Vec<Call>,
    pub messages: Vec<Message>,
}

pub fn store_id() -> StoreId {
    "store-1".parse().unwrap()
}

/// One of the hours there are, from 0.
pub fn hour(number: u32) -> SlotId {
    let at = "2026-11-23T05:00:00Z".parse().unwrap();
    SlotId::containing(store_id(), at).later(number)
}

fn sku(number: usize) -> domain::Sku {
    format!("SKU-{number}").parse().unwrap()
}

fn item(number: usize, quantity: u32) -> Option<Item> {
    Some(Item {
        sku: sku(number),
        product_id: ProductId::new(Uuid::from_u128(1)),
        name: "Craft lager".parse().unwrap(),
        quantity: Quantity::new(quantity).ok()?,
        unit_price: Price::new(499, Currency::EUR).unwrap(),
    })
}

impl World {
    pub fn new(setup: &Setup) -> Self {
        let per_hour = setup.per_hour;
        let mut capacity = Capacity::default();
        let change = capacity::Command::Change {
            store_id: store_id(),
            per_hour,
        };
        for event in capacity.decide(change).unwrap() {
            capacity.apply(event);
        }
        let mut world = Self {
            orders: vec![],
            stocks: BTreeMap::new(),
            slots: (0..HOURS).map(|it| (hour(it), Log::default())).collect(),
            capacity,
            provider: Provider::default(),
            calls: vec![],
            messages: vec![],
        };
        for (number, pieces) in [setup.stocks.0, setup.stocks.1].into_iter().enumerate() {
            let id = StockId::new(store_id(), sku(number));
            let mut stock = Log::<Stock>::default();
            let quantity = Quantity::new(pieces).unwrap();
            let receive = stock::Command::Receive {
                id: id.clone(),
                quantity,
            };
            stock.append(stock.state.decide(receive).unwrap());
            world.stocks.insert(id, stock);
        }
        for (first, second) in &setup.orders {
            let items = [item(0, *first), item(1, *second)];
            world.place(items.into_iter().flatten().collect());
        }
        world
    }

    fn place(&mut self, items: Vec<Item>) {
        let order = self.orders.len();
        let id = |kind: u128| Uuid::from_u128(kind << 64 | order as u128);
        let lines = items.iter().map(|item| Line {
            sku: item.sku.clone(),
            quantity: item.quantity,
        });
        let books = Books {
            order_id: OrderId::new(id(1)),
            payment_id: PaymentId::new(id(2)),
            delivery_id: DeliveryId::new(id(3)),
            items: lines.collect(),
            order: Log::default(),
            fulfilment: Log::default(),
            returning: Log::default(),
            reservation: Log::default(),
            payment: Log::default(),
            delivery: Log::default(),
            timers: Timers::default(),
            cancelled_too_late: false,
            asked_itself: false,
            was_arranged: false,
        };
        let placement = Placement {
            customer_id: UserId::new(id(4)),
            store_id: store_id(),
            items,
            payment_id: books.payment_id,
            delivery_id: books.delivery_id,
            payment_token: Sealed::new("user-1", vec![1]),
            address: None,
        };
        let place = order::Command::Place(Box::new(placement));
        let placed = books.order.state.decide(place).unwrap();
        self.orders.push(books);
        self.order_events(order, placed);
    }

    fn tell(&mut self, order: usize, event: Told) {
        self.messages.push(Message { order, event });
    }

    pub fn order_events(&mut self, order: usize, events: Vec<order::Event>) {
        for event in &events {
            self.tell(order, Told::Order(event.clone()));
        }
        let books = &mut self.orders[order];
        if events.contains(&order::Event::Completed) {
            books.was_arranged = books.is_arranged();
        }
        books.order.append(events);
    }

    pub fn reservation_events(&mut self, order: usize, events: Vec<reservation::Event>) {
        for event in &events {
            self.tell(order, Told::Reservation(event.clone()));
        }
        self.orders[order].reservation.append(events);
    }

    pub fn delivery_events(&mut self, order: usize, events: Vec<delivery::Event>) {
        for event in &events {
            self.tell(order, Told::Delivery(event.clone()));
        }
        self.orders[order].delivery.append(events);
    }

    /// With the timers of the provider's calls.
    pub fn payment_events(&mut self, order: usize, events: Vec<payment::Event>) {
        if events.is_empty() {
            return;
        }
        for event in &events {
            self.tell(order, Told::Payment(event.clone()));
        }
        let books = &mut self.orders[order];
        books.payment.append(events);
        let (charge, refund) = match &books.payment.state {
            Payment::Initiated(_) => (Some(Timer::Charge), None),
            Payment::Refunding(refunding) if !refunding.failed => (None, Some(Timer::Refund)),
            _ => (None, None),
        };
        let timers = &mut books.timers;
        timers.replace(|it| *it == Timer::Charge, charge);
        timers.replace(|it| *it == Timer::Refund, refund);
    }

    /// With the saga's timer.
    pub fn fulfilment_events(&mut self, order: usize, events: Vec<fulfilment::Event>) {
        for event in &events {
            self.tell(order, Told::Fulfilment(event.clone()));
        }
        let books = &mut self.orders[order];
        books.fulfilment.append(events);
        let waiting = books.fulfilment.state.waiting().filter(|it| !it.parked);
        let timer = waiting.map(|it| Timer::Fulfilment(it.step, it.attempt));
        let is_own = |it: &Timer| matches!(it, Timer::Fulfilment(..));
        books.timers.replace(is_own, timer);
    }

    /// With the saga's timer.
    pub fn return_events(&mut self, order: usize, events: Vec<return_goods::Event>) {
        for event in &events {
            self.tell(order, Told::Return(event.clone()));
        }
        let books = &mut self.orders[order];
        books.returning.append(events);
        let waiting = books.returning.state.waiting().filter(|it| !it.parked);
        let timer = waiting.map(|it| Timer::Return(it.step, it.attempt));
        let is_own = |it: &Timer| matches!(it, Timer::Return(..));
        books.timers.replace(is_own, timer);
    }
}
