use chrono::TimeZone as _;
use domain::order::CancelReason;
use domain::{
    Currency, DeliveryId, Money, OrderId, PaymentId, Price, ProductId, Quantity, Sealed, UserId,
};
use uuid::Uuid;

use super::*;

const ORDER: u128 = 1;
const PAYMENT: u128 = 2;
const DELIVERY: u128 = 3;

fn id<T: From<Uuid>>(number: u128) -> T {
    T::from(Uuid::from_u128(number))
}

fn hour() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 23, 5, 0, 0).unwrap()
}

/// What one stream tells, in order.
struct Stream {
    kind: &'static str,
    id: String,
    events: Vec<String>,
}

impl Stream {
    fn of<A: Aggregate>(number: u128, events: &[A::Event]) -> Self {
        let json = |event| serde_json::to_string(event).unwrap();
        Self {
            kind: A::TYPE,
            id: Uuid::from_u128(number).to_string(),
            events: events.iter().map(json).collect(),
        }
    }

    fn recorded(&self) -> impl Iterator<Item = RecordedEvent> {
        (1..).zip(&self.events).map(|(sequence, payload)| {
            let tagged: serde_json::Value = serde_json::from_str(payload).unwrap();
            RecordedEvent {
                position: sequence,
                event_id: Uuid::nil(),
                aggregate_type: self.kind.to_owned(),
                aggregate_id: self.id.clone(),
                sequence,
                event_type: tagged["type"].as_str().unwrap().to_owned(),
                event_version: "1.0".to_owned(),
                payload: payload.clone(),
                metadata: "{}".to_owned(),
                recorded_at: hour() + chrono::Duration::seconds(sequence),
            }
        })
    }
}

fn created() -> order::Event {
    let price = Price::new(150, Currency::EUR).unwrap();
    order::Event::Created {
        customer_id: id::<UserId>(7),
        store_id: "berlin-1".parse().unwrap(),
        items: vec![order::Item {
            sku: "apple".parse().unwrap(),
            product_id: id::<ProductId>(9),
            name: "Apple".parse().unwrap(),
            quantity: Quantity::new(2).unwrap(),
            unit_price: price,
        }],
        total: Money::new(300, Currency::EUR),
        payment_id: id::<PaymentId>(PAYMENT),
        delivery_id: id::<DeliveryId>(DELIVERY),
        payment_token: Sealed::new("7", vec![1]),
        address: None,
    }
}

fn order_id() -> OrderId {
    id(ORDER)
}

/// An order that parked, went on, was completed and came back.
fn streams() -> [Stream; 4] {
    let order_id = order_id();
    let attempt = 1;
    let step = fulfilment::Step::Charge;
    let order = [
        created(),
        order::Event::Reserved,
        order::Event::Paid,
        order::Event::Scheduled { slot: hour() },
        order::Event::Completed,
        order::Event::Returned,
    ];
    let payment = [
        payment::Event::Initiated {
            order_id,
            customer_id: id(7),
            amount: Money::new(300, Currency::EUR),
            token: Sealed::new("7", vec![1]),
        },
        payment::Event::RefundRequested { order_id, attempt },
        payment::Event::Completed {
            order_id,
            amount: Money::new(300, Currency::EUR),
            reference: "ch_1".to_owned(),
        },
    ];
    let delivery = [
        delivery::Event::Scheduled(delivery::Schedule {
            order_id,
            customer_id: id(7),
            store_id: "berlin-1".parse().unwrap(),
            slot: hour(),
            address: None,
        }),
        delivery::Event::Assigned {
            order_id,
            courier_id: id(8),
        },
        delivery::Event::Failed {
            order_id,
            reason: "nobody at home".parse().unwrap(),
            is_final: true,
        },
    ];
    let saga = [
        fulfilment::Event::AttemptFailed {
            step,
            attempt,
            error: "no answer".to_owned(),
        },
        fulfilment::Event::Parked {
            step,
            error: "no answer".to_owned(),
        },
        fulfilment::Event::Retried,
    ];
    [
        Stream::of::<Order>(ORDER, &order),
        Stream::of::<Payment>(PAYMENT, &payment),
        Stream::of::<Delivery>(DELIVERY, &delivery),
        Stream::of::<Fulfilment>(ORDER, &saga),
    ]
}

/// The row after an event that is not shown yet.
fn tell(row: Option<Row>, event: &RecordedEvent) -> Option<Row> {
    let Some(recorded) = read(event).unwrap() else {
        return row;
    };
    let key = Orders::key(&recorded).unwrap();
    assert_eq!(key, Uuid::from_u128(ORDER).to_string());
    if row
        .as_ref()
        .is_some_and(|row| Orders::shows(row, &recorded))
    {
        return row;
    }
    Some(Orders::apply(row, recorded).unwrap())
}

fn folded<'a>(streams: impl IntoIterator<Item = &'a Stream>) -> Row {
    let events = streams.into_iter().flat_map(Stream::recorded);
    let row = events.fold(None, |row, event| tell(row, &event));
    row.unwrap()
}

#[test]
fn it_does_not_matter_which_stream_comes_first_or_again() {
    let streams = streams();
    let expected = folded(&streams);
    let order = expected.clone().into_order().unwrap();
    assert_eq!(order.status, Status::Returned);
    assert_eq!(order.payment_status.unwrap().as_str(), "refunding");
    let delivery = order.delivery.unwrap();
    assert_eq!(delivery.status.as_str(), "failed");
    assert_eq!(delivery.slot, Some(hour()));

    let places = [0, 1, 2, 3];
    for first in places {
        for second in places.into_iter().filter(|it| *it != first) {
            for third in places
                .into_iter()
                .filter(|it| ![first, second].contains(it))
            {
                let last = 6 - first - second - third;
                let turns = [first, second, third, last];
                let once = turns.map(|turn| &streams[turn]);
                assert_eq!(folded(once), expected, "{turns:?}");
                let twice = once.into_iter().chain(once);
                assert_eq!(folded(twice), expected, "{turns:?} twice");
            }
        }
    }
}

#[test]
fn an_order_is_not_answered_before_its_own_stream_tells_of_it() {
    let [order, others @ ..] = streams();
    let row = folded(&others);
    assert_eq!(row.clone().into_order(), None);
    let first = order.recorded().next().unwrap();
    let order = tell(Some(row), &first).unwrap().into_order().unwrap();
    assert_eq!(order.status, Status::Pending);
    assert!(order.delivery.is_some());
}

#[test]
fn what_is_told_of_an_order_without_its_creation_is_refused() {
    let stream = Stream::of::<Order>(ORDER, &[order::Event::Reserved]);
    let event = stream.recorded().next().unwrap();
    let refused = Orders::apply(None, read(&event).unwrap().unwrap());
    assert_eq!(refused, Err(NOT_PLACED));
}

#[test]
fn an_order_is_parked_from_the_halt_until_anything_is_asked_for_or_its_end() {
    let error = || "no answer".to_owned();
    let step = fulfilment::Step::Reserve;
    let parked = fulfilment::Event::Parked {
        step,
        error: error(),
    };
    let release = fulfilment::Event::ReleaseRequested {
        store_id: "berlin-1".parse().unwrap(),
        items: vec![],
        attempt: 1,
    };
    let status = |order: &[order::Event], saga: &[fulfilment::Event]| {
        let streams = [
            Stream::of::<Order>(ORDER, order),
            Stream::of::<Fulfilment>(ORDER, saga),
        ];
        folded(&streams).into_order().unwrap().status
    };
    let open = [created(), order::Event::Reserved];
    let halted = std::slice::from_ref(&parked);
    assert_eq!(status(&open, halted), Status::Parked);
    let again = [parked.clone(), fulfilment::Event::Retried];
    assert_eq!(status(&open, &again), Status::Reserved);
    assert_eq!(status(&open, &[parked.clone(), release]), Status::Reserved);
    let reason = CancelReason::Customer;
    let ended = [created(), order::Event::Cancelled { reason }];
    assert_eq!(status(&ended, halted), Status::Cancelled);
}
