//! A basket becomes an order, and the order goes its way.

use std::collections::HashMap;

use chrono::{TimeZone as _, Utc};
use domain::fulfilment::{Input, Plan};
use domain::order::{CancelReason, Command, Customer, Item, Placement};
use domain::payment::Command as PaymentCommand;
use domain::stock::StockId;
use domain::{
    Currency, DeliveryId, Fulfilment, Money, Order, OrderId, Payment, PaymentId, Price, ProductId,
    Quantity, Sealed, Stock, User, UserId, fulfilment, order, reservation, stock,
};
use eventstore::{CommandContext, EventStore, Stream};
use uuid::Uuid;

use super::{Basket, Line};

/// An order under way.
pub(super) struct Purchase {
    pub(super) store: EventStore,
    pub(super) order_id: OrderId,
    pub(super) payment_id: PaymentId,
    pub(super) customer: String,
    pub(super) basket: Basket,
}

/// What the stocks do in a step.
#[derive(Clone, Copy)]
enum Goods {
    Stay,
    Reserve,
    Release,
    Commit,
    Return,
}

impl Purchase {
    pub(super) fn items(&self, names: &HashMap<String, String>) -> Vec<Item> {
        let item = |line: &Line| Item {
            sku: line.sku.parse().unwrap(),
            product_id: ProductId::new(Uuid::nil()),
            name: names[&line.sku].parse().unwrap(),
            quantity: Quantity::new(line.quantity).unwrap(),
            unit_price: Price::new(line.unit_price_minor, Currency::USD).unwrap(),
        };
        self.basket.items.iter().map(item).collect()
    }

    /// Each number has an ending of its own, and another one the next time.
    pub(super) async fn carry_out(&self, items: Vec<Item>, n: usize) {
        self.place(items).await;
        let ending = n % 16;
        let tries = match ending {
            11 => fulfilment::TRIES_MAX,
            12 => fulfilment::TRIES_MAX + 1,
            _ => 0,
        };
        self.fulfil(tries).await;
        if tries > 0 {
            return;
        }
        if ending == 0 {
            return self.cancel(CancelReason::OutOfStock, Goods::Stay).await;
        }
        self.step(Command::MarkReserved, Goods::Reserve).await;
        match ending {
            1 => {
                return self
                    .cancel(CancelReason::PaymentDeclined, Goods::Release)
                    .await;
            }
            2 => {
                return self
                    .cancel(CancelReason::PaymentTimeout, Goods::Release)
                    .await;
            }
            _ => {}
        }
        self.pay().await;
        self.step(Command::MarkPaid, Goods::Stay).await;
        if ending == 3 {
            self.give_back().await;
            let reason = CancelReason::DeliveryUnavailable;
            return self.cancel(reason, Goods::Release).await;
        }
        let slot = Utc.with_ymd_and_hms(2017, 12, 1, 12, 0, 0).unwrap();
        self.step(Command::MarkScheduled { slot }, Goods::Stay)
            .await;
        if ending == 4 {
            let reason = None;
            self.step(Command::RequestCancellation { reason }, Goods::Stay)
                .await;
            return self.cancel(CancelReason::Customer, Goods::Release).await;
        }
        self.step(Command::Complete, Goods::Commit).await;
        if ending == 5 {
            self.give_back().await;
            self.step(Command::MarkReturned, Goods::Return).await;
        }
        if ending == 6 {
            // As staff do, for whatever was wrong with it.
            self.give_back().await;
        }
    }

    async fn pay(&self) {
        let amounts = self.basket.items.iter();
        let amounts = amounts.map(|line| line.unit_price_minor * i64::from(line.quantity));
        let initiate = PaymentCommand::Initiate {
            order_id: self.order_id,
            customer_id: self.customer.parse().unwrap(),
            amount: Money::new(amounts.sum(), Currency::USD),
            token: Sealed::new(&self.customer, vec![1]),
        };
        let reference = "ch_1".to_owned();
        self.payment(initiate).await;
        self.payment(PaymentCommand::Complete { reference }).await;
    }

    async fn give_back(&self) {
        let refund = PaymentCommand::Refund {
            order_id: self.order_id,
            attempt: 1,
        };
        let reference = "re_1".to_owned();
        self.payment(refund).await;
        self.payment(PaymentCommand::MarkRefunded { reference })
            .await;
    }

    async fn payment(&self, command: PaymentCommand) {
        let stream = Stream::<Payment>::new(self.payment_id.to_string());
        let decide = move |payment: &Payment| payment.decide(command.clone());
        let context = CommandContext::new("pay");
        self.store.execute(stream, context, decide).await.unwrap();
    }

    async fn cancel(&self, reason: CancelReason, goods: Goods) {
        self.step(Command::Cancel { reason }, goods).await;
    }

    async fn place(&self, items: Vec<Item>) {
        let placement = Placement {
            customer_id: self.customer.parse().unwrap(),
            store_id: self.basket.store_id().parse().unwrap(),
            items,
            payment_id: self.payment_id,
            delivery_id: DeliveryId::new(Uuid::now_v7()),
            payment_token: Sealed::new(&self.customer, vec![1]),
            address: None,
        };
        let streams = (
            Stream::<Order>::beginning(self.order_id.to_string()),
            Stream::<User>::new(&self.customer),
        );
        let decide = move |(order, user): (&Order, &User)| {
            let placed = order::place(order, Customer::Here(user), &[], placement.clone());
            placed.map(|events| (events, vec![]))
        };
        let context = CommandContext::new("place");
        self.store.execute(streams, context, decide).await.unwrap();
    }

    /// The order and its stocks take a step together.
    async fn step(&self, command: Command, goods: Goods) {
        let stocks = match goods {
            Goods::Stay => vec![],
            Goods::Reserve | Goods::Release | Goods::Commit | Goods::Return => self.stocks(),
        };
        let ids = stocks.iter().map(|(id, _)| id.to_string());
        let streams = (
            Stream::<Order>::new(self.order_id.to_string()),
            ids.map(Stream::<Stock>::new).collect::<Vec<_>>(),
        );
        let order_id = self.order_id;
        let decide = move |(order, states): (&Order, Vec<&Stock>)| -> Result<_, String> {
            let events = order.decide(command.clone());
            let events = events.map_err(|error| error.to_string())?;
            let moves = states.iter().zip(&stocks);
            let moved = moves.map(|(stock, (id, quantity))| {
                let id = id.clone();
                stock.decide(moving(goods, id, order_id, *quantity))
            });
            let moved: Result<Vec<_>, _> = moved.collect();
            Ok((events, moved.map_err(|error| error.to_string())?))
        };
        let context = CommandContext::new("step");
        self.store.execute(streams, context, decide).await.unwrap();
    }

    fn stocks(&self) -> Vec<(StockId, Quantity)> {
        let store_id: domain::StoreId = self.basket.store_id().parse().unwrap();
        let stock = |line: &Line| {
            let id = StockId::new(store_id.clone(), line.sku.parse().unwrap());
            (id, Quantity::new(line.quantity).unwrap())
        };
        self.basket.items.iter().map(stock).collect()
    }

    /// The saga begins, and hears nothing for so many times; one more and an operator says to go on.
    async fn fulfil(&self, tries: u32) {
        let line = |(id, quantity): (StockId, Quantity)| reservation::Line {
            sku: id.sku,
            quantity,
        };
        let plan = Plan {
            customer_id: self.customer.parse::<UserId>().unwrap(),
            store_id: self.basket.store_id().parse().unwrap(),
            items: self.stocks().into_iter().map(line).collect(),
            total: Money::new(1, Currency::USD),
            payment_id: self.payment_id,
            delivery_id: DeliveryId::new(Uuid::now_v7()),
            payment_token: Sealed::new(&self.customer, vec![1]),
            address: None,
        };
        self.hear(Input::Started(Box::new(plan))).await;
        for attempt in 1..=tries {
            let step = fulfilment::Step::Reserve;
            let input = if attempt > fulfilment::TRIES_MAX {
                Input::Retried
            } else {
                Input::TimedOut { step, attempt }
            };
            self.hear(input).await;
        }
    }

    async fn hear(&self, input: Input) {
        let stream = Stream::<Fulfilment>::new(self.order_id.to_string());
        let decide = move |saga: &Fulfilment| Ok::<_, fulfilment::Error>(saga.react(input.clone()));
        let context = CommandContext::new("react");
        self.store.execute(stream, context, decide).await.unwrap();
    }
}

fn moving(goods: Goods, id: StockId, order_id: OrderId, quantity: Quantity) -> stock::Command {
    match goods {
        Goods::Release => stock::Command::Release {
            id,
            order_id,
            quantity,
        },
        Goods::Commit => stock::Command::Commit {
            id,
            order_id,
            quantity,
        },
        Goods::Return => stock::Command::Return {
            id,
            order_id,
            quantity,
        },
        Goods::Stay | Goods::Reserve => stock::Command::Reserve {
            id,
            order_id,
            quantity,
        },
    }
}
