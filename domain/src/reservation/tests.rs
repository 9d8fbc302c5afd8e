use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;

fn order_id() -> OrderId {
    OrderId::new(Uuid::from_u128(1))
}

fn store_id() -> StoreId {
    "store-1".parse().unwrap()
}

fn sku(number: u32) -> Sku {
    format!("SKU-{number}").parse().unwrap()
}

fn pieces(number: u32) -> Quantity {
    Quantity::new(number).unwrap()
}

/// Two of the first, three of the second.
fn items() -> Vec<Line> {
    [(1, 2), (2, 3)]
        .map(|(number, quantity)| Line {
            sku: sku(number),
            quantity: pieces(quantity),
        })
        .to_vec()
}

fn request() -> Request {
    Request {
        order_id: order_id(),
        store_id: store_id(),
        items: items(),
    }
}

fn shortages() -> Vec<Shortage> {
    vec![Shortage {
        sku: sku(2),
        requested: 3,
        available: 1,
    }]
}

fn confirmed() -> Event {
    Event::Confirmed {
        store_id: store_id(),
        items: items(),
    }
}

fn rejected() -> Event {
    Event::Rejected {
        store_id: store_id(),
        shortages: shortages(),
    }
}

fn released() -> Event {
    Event::Released {
        store_id: store_id(),
        items: items(),
    }
}

/// Released before anything was promised.
fn tombstone() -> Event {
    Event::Released {
        store_id: store_id(),
        items: vec![],
    }
}

fn committed() -> Event {
    Event::Committed {
        store_id: store_id(),
        items: items(),
    }
}

fn confirm() -> Command {
    Command::Confirm {
        store_id: store_id(),
        items: items(),
    }
}

fn reject() -> Command {
    Command::Reject {
        store_id: store_id(),
        shortages: shortages(),
    }
}

fn give_back() -> Command {
    let store_id = store_id();
    Command::Release { store_id }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Reservation> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn fold(events: impl IntoIterator<Item = Event>) -> Reservation {
    let mut reservation = Reservation::default();
    events
        .into_iter()
        .for_each(|event| reservation.apply(event));
    reservation
}

/// Every state that has had an answer.
fn answered() -> [Vec<Event>; 5] {
    [
        vec![confirmed()],
        vec![rejected()],
        vec![tombstone()],
        vec![confirmed(), released()],
        vec![confirmed(), committed()],
    ]
}

fn stock(number: u32, on_hand: u32) -> Stock {
    let mut stock = Stock::default();
    let id = StockId::new(store_id(), sku(number));
    let quantity = pieces(on_hand);
    for event in stock
        .decide(stock::Command::Receive { id, quantity })
        .unwrap()
    {
        stock.apply(event);
    }
    stock
}

/// The first two shelves, moved along by what was decided for them.
struct Shelves([Stock; 2]);

impl Shelves {
    fn with(first: u32, second: u32) -> Self {
        Self([stock(1, first), stock(2, second)])
    }

    fn states(&self) -> [&Stock; 2] {
        [&self.0[0], &self.0[1]]
    }

    fn levels(&self) -> [(u32, u32); 2] {
        self.states().map(|stock| {
            let levels = stock.levels();
            (levels.on_hand, levels.reserved)
        })
    }

    fn take(&mut self, decided: Decided) -> Vec<Event> {
        let (events, moved) = decided.unwrap();
        assert_eq!(moved.len(), 2, "a list of events for each stock");
        for (stock, events) in self.0.iter_mut().zip(moved) {
            events.into_iter().for_each(|event| stock.apply(event));
        }
        events
    }

    fn reserve(&mut self, reservation: &Reservation) -> Vec<Event> {
        let decided = reserve(reservation, &self.states(), request());
        self.take(decided)
    }

    fn release(&mut self, reservation: &Reservation) -> Vec<Event> {
        let decided = release(reservation, &self.states(), &request());
        self.take(decided)
    }

    fn commit(&mut self, reservation: &Reservation) -> Vec<Event> {
        let decided = commit(reservation, &self.states(), &request());
        self.take(decided)
    }
}

#[test]
fn a_promise_is_made_or_refused_once() {
    given([])
        .when(confirm())
        .then_expect_events(vec![confirmed()]);
    given([])
        .when(reject())
        .then_expect_events(vec![rejected()]);
    for history in answered() {
        for command in [confirm(), reject()] {
            given(history.clone())
                .when(command)
                .then_expect_events(vec![]);
        }
    }
}

#[test]
fn what_is_held_is_released_once() {
    given([confirmed()])
        .when(give_back())
        .then_expect_events(vec![released()]);
    given([confirmed(), committed()])
        .when(give_back())
        .then_expect_events(vec![released()]);
    for history in [
        vec![rejected()],
        vec![tombstone()],
        vec![confirmed(), released()],
    ] {
        given(history).when(give_back()).then_expect_events(vec![]);
    }
}

#[test]
fn a_release_before_its_request_leaves_a_tombstone() {
    given([])
        .when(give_back())
        .then_expect_events(vec![tombstone()]);
    let (buried, mut shelves) = (fold([tombstone()]), Shelves::with(9, 9));
    assert_eq!(shelves.reserve(&buried), vec![]);
    assert_eq!(shelves.commit(&buried), vec![]);
    assert_eq!(shelves.release(&buried), vec![]);
    assert_eq!(shelves.levels(), [(9, 0), (9, 0)]);
}

#[test]
fn only_what_is_held_leaves_the_store() {
    given([confirmed()])
        .when(Command::Commit)
        .then_expect_events(vec![committed()]);
    for history in [
        vec![confirmed(), committed()],
        vec![confirmed(), released()],
    ] {
        given(history)
            .when(Command::Commit)
            .then_expect_events(vec![]);
    }
    for history in [vec![], vec![rejected()]] {
        given(history)
            .when(Command::Commit)
            .then_expect_error(Error::NotReserved);
    }
}

#[test]
fn every_line_is_promised() {
    let mut shelves = Shelves::with(9, 3);
    assert_eq!(shelves.reserve(&Reservation::Absent), vec![confirmed()]);
    assert_eq!(shelves.levels(), [(9, 2), (3, 3)]);
}

#[test]
fn one_line_that_is_short_refuses_them_all() {
    let mut shelves = Shelves::with(9, 1);
    assert_eq!(shelves.reserve(&Reservation::Absent), vec![rejected()]);
    assert_eq!(shelves.levels(), [(9, 0), (1, 0)]);
}

#[test]
fn a_request_that_comes_again_moves_nothing() {
    for history in answered() {
        let reservation = fold(history);
        // Whether there would be enough by now or not.
        for mut shelves in [Shelves::with(9, 9), Shelves::with(1, 1)] {
            let before = shelves.levels();
            assert_eq!(shelves.reserve(&reservation), vec![]);
            assert_eq!(shelves.levels(), before);
        }
    }
}

#[test]
fn a_promise_that_is_taken_back_frees_every_line() {
    let mut shelves = Shelves::with(9, 9);
    let promised = fold(shelves.reserve(&Reservation::Absent));
    assert_eq!(shelves.release(&promised), vec![released()]);
    assert_eq!(shelves.levels(), [(9, 0), (9, 0)]);
    let over = fold([confirmed(), released()]);
    assert_eq!(shelves.release(&over), vec![]);
    assert_eq!(shelves.levels(), [(9, 0), (9, 0)]);
}

#[test]
fn what_has_left_the_store_comes_back() {
    let mut shelves = Shelves::with(9, 9);
    let promised = fold(shelves.reserve(&Reservation::Absent));
    assert_eq!(shelves.commit(&promised), vec![committed()]);
    assert_eq!(shelves.levels(), [(7, 0), (6, 0)]);
    let gone = fold([confirmed(), committed()]);
    assert_eq!(shelves.commit(&gone), vec![], "asked again");
    assert_eq!(shelves.release(&gone), vec![released()]);
    assert_eq!(shelves.levels(), [(9, 0), (9, 0)]);
}

#[test]
fn a_stock_that_does_not_hold_what_was_promised_is_told() {
    let (shelves, promised) = (Shelves::with(9, 9), fold([confirmed()]));
    let disagree = || {
        let error = stock::Error::NotReserved {
            requested: 2,
            reserved: 0,
        };
        Err(Error::Stock { error })
    };
    assert_eq!(
        release(&promised, &shelves.states(), &request()),
        disagree()
    );
    assert_eq!(commit(&promised, &shelves.states(), &request()), disagree());
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Reservation>(vec![rejected(), committed()]);
    assert!(
        message.contains("reservation.committed recorded while Rejected"),
        "{message}"
    );
    let message = panic_of::<Reservation>(vec![confirmed(), released(), released()]);
    assert!(
        message.contains("reservation.released recorded while Released"),
        "{message}"
    );
}

#[test]
fn refusals_are_stored_by_their_code() {
    let error = stock::Error::NotReserved {
        requested: 2,
        reserved: 0,
    };
    let refusal = Error::Stock { error };
    let json = r#"{"code":"stock","error":{"code":"not-reserved","requested":2,"reserved":0}}"#;
    assert_eq!(serde_json::to_string(&refusal).unwrap(), json);
    assert_eq!(serde_json::from_str::<Error>(json).unwrap(), refusal);
}
