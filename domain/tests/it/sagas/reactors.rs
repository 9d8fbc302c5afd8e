//! Whoever reacts to events, and whoever acts on timers.

use domain::fulfilment::{self, Input, Plan};
use domain::payment::Command;
use domain::reservation::Line;
use domain::{Payment, delivery, order, payment, reservation, return_goods};

use super::inventory::Wanted;
use super::provider::{Answer, Call};
use super::world::{Message, Timer, Told, World};

impl World {
    pub fn deliver(&mut self, message: Message) {
        let Message { order, event } = message;
        match event {
            Told::Order(event) => self.hear_order(order, event),
            Told::Reservation(event) => self.hear_reservation(order, &event),
            Told::Payment(event) => self.hear_payment(order, event),
            Told::Delivery(event) => self.hear_delivery(order, &event),
            Told::Fulfilment(event) => self.hear_fulfilment(order, &event),
            Told::Return(event) => self.hear_return(order, &event),
        }
    }

    fn fulfil(&mut self, order: usize, input: Input) {
        let books = &self.orders[order];
        let decided = fulfilment::advance(&books.fulfilment.state, &books.order.state, input);
        let (events, order_events) = decided.expect("saga and order agree");
        self.fulfilment_events(order, events);
        self.order_events(order, order_events);
    }

    fn return_goods(&mut self, order: usize, input: return_goods::Input) {
        let books = &self.orders[order];
        let decided = return_goods::advance(&books.returning.state, &books.order.state, input);
        let (events, order_events) = decided.expect("saga and order agree");
        self.return_events(order, events);
        self.order_events(order, order_events);
    }

    fn hear_order(&mut self, order: usize, event: order::Event) {
        match event {
            order::Event::Created {
                customer_id,
                store_id,
                items,
                total,
                payment_id,
                delivery_id,
                payment_token,
                address,
            } => {
                let lines = items.into_iter().map(|item| Line {
                    sku: item.sku,
                    quantity: item.quantity,
                });
                let plan = Box::new(Plan {
                    customer_id,
                    store_id,
                    items: lines.collect(),
                    total,
                    payment_id,
                    delivery_id,
                    payment_token,
                    address,
                });
                self.fulfil(order, Input::Started(plan));
            }
            order::Event::CancellationRequested { .. } => {
                self.fulfil(order, Input::CancellationRequested);
            }
            _ => {}
        }
    }

    fn hear_reservation(&mut self, order: usize, event: &reservation::Event) {
        use reservation::Event;
        match event {
            Event::Confirmed { .. } => self.fulfil(order, Input::ReservationConfirmed),
            Event::Rejected { .. } => self.fulfil(order, Input::ReservationRejected),
            Event::Committed { .. } => self.fulfil(order, Input::ReservationCommitted),
            Event::Released { .. } => {
                self.fulfil(order, Input::ReservationReleased);
                self.return_goods(order, return_goods::Input::ReservationReleased);
            }
        }
    }

    fn hear_payment(&mut self, order: usize, event: payment::Event) {
        use payment::Event;
        match event {
            Event::Completed { .. } => self.fulfil(order, Input::PaymentCompleted),
            Event::Failed { .. } => self.fulfil(order, Input::PaymentFailed),
            Event::Refunded { .. } => {
                self.fulfil(order, Input::PaymentRefunded);
                self.return_goods(order, return_goods::Input::PaymentRefunded);
            }
            Event::RefundFailed { attempt, error, .. } => {
                let failed = return_goods::Input::RefundFailed {
                    attempt,
                    error: error.clone(),
                };
                self.fulfil(order, Input::RefundFailed { attempt, error });
                self.return_goods(order, failed);
                self.refund_failed(order, attempt);
            }
            Event::Initiated { .. } | Event::RefundRequested { .. } => {}
        }
    }

    /// The payment looks after what no saga waits for. What it gives up an operator retries.
    fn refund_failed(&mut self, order: usize, attempt: u32) {
        let books = &mut self.orders[order];
        let sagas = (&books.fulfilment.state, &books.returning.state);
        let after = payment::after_failure(&books.payment.state, sagas.0, sagas.1, attempt);
        if after.is_some() {
            let is_own = |it: &Timer| *it == Timer::Refund;
            books.timers.replace(is_own, Some(Timer::Refund));
        }
    }

    fn hear_delivery(&mut self, order: usize, event: &delivery::Event) {
        use delivery::Event;
        match event {
            Event::Scheduled(schedule) => {
                let slot = schedule.slot;
                self.fulfil(order, Input::DeliveryScheduled { slot });
            }
            Event::Cancelled { .. } => self.fulfil(order, Input::DeliveryCancelled),
            Event::Failed { is_final: true, .. } => self.delivery_failed(order),
            _ => {}
        }
    }

    fn delivery_failed(&mut self, order: usize) {
        let books = &self.orders[order];
        let Some(order::Event::Created { store_id, .. }) = books.order.events.first() else {
            panic!("every order was created");
        };
        let plan = return_goods::Plan {
            store_id: store_id.clone(),
            items: books.items.clone(),
            payment_id: books.payment_id,
        };
        let decided = return_goods::delivery_failed(
            &books.fulfilment.state,
            &books.returning.state,
            &books.order.state,
            &books.payment.state,
            plan,
        );
        let (events, returning, order_events) = decided.expect("saga and order agree");
        self.fulfilment_events(order, events);
        self.return_events(order, returning);
        self.order_events(order, order_events);
    }

    fn hear_fulfilment(&mut self, order: usize, event: &fulfilment::Event) {
        use fulfilment::Event;
        let order_id = self.orders[order].order_id;
        match event {
            Event::ReservationRequested { .. } => self.stock(order, Wanted::Reserve),
            Event::CommitRequested { .. } => self.stock(order, Wanted::Commit),
            Event::ReleaseRequested { .. } => self.stock(order, Wanted::Release),
            Event::DeliveryRequested { .. } => self.schedule(order),
            Event::DeliveryCancellationRequested { .. } => self.call_off(order),
            Event::PaymentRequested {
                customer_id,
                amount,
                token,
                ..
            } => self.pay(
                order,
                Command::Initiate {
                    order_id,
                    customer_id: *customer_id,
                    amount: *amount,
                    token: token.clone(),
                },
            ),
            Event::RefundRequested { attempt, .. } => {
                let attempt = *attempt;
                self.pay(order, Command::Refund { order_id, attempt });
            }
            _ => {}
        }
    }

    fn hear_return(&mut self, order: usize, event: &return_goods::Event) {
        use return_goods::Event;
        let order_id = self.orders[order].order_id;
        match event {
            Event::RefundRequested { attempt, .. } => {
                let attempt = *attempt;
                self.pay(order, Command::Refund { order_id, attempt });
            }
            Event::RestockRequested { .. } => self.stock(order, Wanted::Release),
            _ => {}
        }
    }

    fn pay(&mut self, order: usize, command: Command) {
        let events = self.orders[order].payment.state.decide(command);
        self.payment_events(order, events.expect("the payment was asked for"));
    }

    /// Acts on a timer as it was read, maybe long ago.
    pub fn fire(&mut self, order: usize, timer: Timer) {
        let payment = &self.orders[order].payment.state;
        match timer {
            Timer::Fulfilment(step, attempt) => {
                self.fulfil(order, Input::TimedOut { step, attempt });
            }
            Timer::Return(step, attempt) => {
                self.return_goods(order, return_goods::Input::TimedOut { step, attempt });
            }
            Timer::Charge if matches!(payment, Payment::Initiated(_)) => self.call(order, false),
            Timer::Refund if matches!(payment, Payment::Refunding(it) if !it.failed) => {
                self.call(order, true);
            }
            Timer::Refund => {
                if let Payment::Refunding(refunding) = payment {
                    let (order_id, attempt) = (refunding.charge.order_id, refunding.attempt + 1);
                    self.orders[order].asked_itself = true;
                    self.pay(order, Command::Refund { order_id, attempt });
                }
            }
            Timer::Charge => {}
        }
    }

    fn call(&mut self, order: usize, is_refund: bool) {
        self.calls.push(Call {
            order,
            is_refund,
            answer: None,
        });
    }

    /// Writes down what the provider said.
    pub fn answered(&mut self, call: Call) {
        let Some(answer) = call.answer else {
            return;
        };
        let reference = "provider-1".to_owned();
        let command = match answer {
            Answer::Charged => Command::Complete { reference },
            Answer::Declined => Command::Decline { detail: None },
            Answer::Refunded => Command::MarkRefunded { reference },
            Answer::NothingCharged => Command::MarkVoided,
            Answer::Unavailable if call.is_refund => Command::FailRefund {
                error: "silent".to_owned(),
            },
            // The timer is still set: it is called again.
            Answer::Unavailable => return,
        };
        self.pay(call.order, command);
    }
}
