//! The sagas with their participants, under any schedule.
//!
//! Orders are placed in a [`world::World`] of real aggregates. Whoever reacts to events gets them late, twice, in another
//! order, within a stream as well as across; a crash after an append is an event that is handled again, without the log's
//! help (which would know the command's id). Timers fire early and after they were cleared; the payment provider answers
//! late, twice or never, declines, charges and loses the answer, and fails to refund; customers cancel, couriers deliver or
//! give up, staff refund, operators retry, at any time. A schedule of such moves is drawn, played, and then everything that
//! is outstanding comes to an end ([`moves::settle`]): what must be true then is in [`promises`].

mod inventory;
mod moves;
mod people;
mod promises;
mod provider;
mod reactors;
mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use self::moves::{Move, play};
use self::world::Setup;

/// Moves of a schedule: two orders take about forty to their end.
const MOVES_MAX: usize = 120;

/// Enough that a rule that is broken, or a line of a table that is missing, is noticed on the first run; a few seconds.
const SCHEDULES: u32 = 5_000;

fn schedule() -> impl Strategy<Value = (Setup, Vec<Move>)> {
    (world::setup(), moves::up_to(MOVES_MAX))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(SCHEDULES))]

    #[test]
    fn under_any_schedule_every_order_ends_once_and_adds_up((setup, moves) in schedule()) {
        let world = play(&setup, &moves)?;
        promises::are_kept(&world)?;
    }
}

/// What schedules lead to. That each comes up shows that the promises are made of something.
const SEEN: [&str; 22] = [
    "an answer was lost and the money came back",
    "cancelled (customer)",
    "cancelled (delivery-unavailable)",
    "cancelled (out-of-stock)",
    "cancelled (payment-declined)",
    "cancelled (payment-timeout)",
    "charged late",
    "committed and taken back",
    "completed",
    "completed, then refunded by staff",
    "a delivery was cancelled before it was asked for",
    "a delivery was cancelled by its saga",
    "a delivery was made",
    "a fulfilment halted and went on",
    "a payment was called off before it was asked for",
    "a refund failed",
    "a refund that no saga waited for was tried again",
    "a reservation was released before it was asked for",
    "a return halted and went on",
    "returned",
    "returned, refunded by staff before",
    "too late to cancel",
];

#[test]
fn schedules_lead_everywhere() {
    let mut runner = TestRunner::deterministic();
    let (schedule, mut seen) = (schedule(), BTreeSet::new());
    for _ in 0..SCHEDULES {
        let (setup, moves) = schedule.new_tree(&mut runner).unwrap().current();
        let world = play(&setup, &moves).unwrap();
        world.orders.iter().for_each(|books| books.tell(&mut seen));
    }
    assert_eq!(seen, BTreeSet::from(SEEN));
}
