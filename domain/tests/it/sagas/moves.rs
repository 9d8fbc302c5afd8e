//! What can happen next, and how everything comes to an end.

use proptest::prelude::*;

use super::people::Act;
use super::promises;
use super::provider::Mood;
use super::world::{Setup, Timer, World};

/// A number that names one of those there are, by its remainder.
type Which = usize;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// An event reaches whoever reacts to it; `again`: and will once more.
    Deliver { which: Which, again: bool },
    /// The payment of an order is acted on: the provider is called for what it owes or is owed.
    Call { which: Which },
    /// A participant of an order is silent so long that the timer of its saga fires so often, or fires without reason.
    Fire { which: Which, times: u32 },
    /// A timer fires for whoever read it before it was moved.
    FireLate { which: Which },
    /// A call reaches the provider.
    Reach { which: Which, mood: Mood },
    /// An answer of the provider is written down; `again`: and will be once more.
    Answer { which: Which, again: bool },
    /// A call or its answer gets lost.
    Lose { which: Which },
    /// The customer cancels.
    Cancel { which: Which },
    /// Something happens to a delivery.
    Courier { which: Which, act: Act },
    /// Staff give the money back.
    Refund { which: Which },
    /// An operator has a saga that halts go on.
    Retry { which: Which },
}

/// At most so many moves. Each is made of one number: drawing them one by one takes proptest twenty times as long as playing
/// them. The smallest is the dullest, so that shrinking leads to events that just arrive.
pub fn up_to(most: usize) -> impl Strategy<Value = Vec<Move>> {
    proptest::collection::vec(proptest::num::u32::ANY, 0..most)
        .prop_map(|numbers| numbers.into_iter().map(Move::of).collect())
}

impl Move {
    fn of(number: u32) -> Self {
        let [kind, which, twist, _] = number.to_le_bytes();
        let which = which.into();
        let (again, times) = (twist % 5 == 4, if twist % 6 == 5 { 8 } else { 1 });
        match kind {
            0..115 => Move::Deliver { which, again },
            115..135 => Move::Call { which },
            135..165 => Move::Reach {
                which,
                mood: mood(twist),
            },
            165..195 => Move::Answer { which, again },
            195..208 => Move::Fire { which, times },
            208..214 => Move::FireLate { which },
            214..218 => Move::Lose { which },
            218..226 => Move::Cancel { which },
            226..246 => Move::Courier {
                which,
                act: act(twist),
            },
            246..251 => Move::Refund { which },
            251.. => Move::Retry { which },
        }
    }
}

fn mood(twist: u8) -> Mood {
    match twist % 13 {
        0..8 => Mood::Willing,
        8 => Mood::Strict,
        9..11 => Mood::Failing,
        _ => Mood::Mute,
    }
}

fn act(twist: u8) -> Act {
    match twist % 16 {
        0..3 => Act::Assign,
        3..6 => Act::PickUp,
        6..9 => Act::HandOver,
        9..12 => Act::Bring,
        12 => Act::TryLater,
        _ => Act::GiveUp,
    }
}

/// Plays a schedule to its end, and on until nothing is outstanding.
pub fn play(setup: &Setup, moves: &[Move]) -> Result<World, TestCaseError> {
    let mut world = World::new(setup);
    for _ in 0..setup.calm {
        let _ = arrive(&mut world) || call_again(&mut world);
    }
    for it in moves {
        make(&mut world, *it);
        promises::are_not_broken_yet(&world)?;
    }
    settle(&mut world)?;
    Ok(world)
}

fn place_of(which: Which, there_are: usize) -> Option<usize> {
    (there_are > 0).then(|| which % there_are)
}

fn make(world: &mut World, it: Move) {
    let order = |which: Which| which % world.orders.len();
    match it {
        Move::Deliver { which, again } => {
            if let Some(place) = place_of(which, world.messages.len()) {
                let message = world.messages[place].clone();
                if !again {
                    world.messages.remove(place);
                }
                world.deliver(message);
            }
        }
        Move::Call { which } => fire(world, order(which), is_call),
        Move::Fire { which, times } => {
            let order = order(which);
            (0..times).for_each(|_| fire(world, order, |it| !is_call(it)));
        }
        Move::FireLate { which } => {
            let order = order(which);
            let gone = &world.orders[order].timers.gone;
            if let Some(place) = place_of(which, gone.len()) {
                world.fire(order, gone[place]);
            }
        }
        Move::Reach { which, mood } => {
            if let Some(place) = place_of(which, world.calls.len()) {
                reach(world, place, mood);
            }
        }
        Move::Answer { which, again } => {
            if let Some(place) = place_of(which, world.calls.len()) {
                let call = world.calls[place];
                if !again && call.answer.is_some() {
                    world.calls.remove(place);
                }
                world.answered(call);
            }
        }
        Move::Lose { which } => {
            if let Some(place) = place_of(which, world.calls.len()) {
                world.calls.remove(place);
            }
        }
        Move::Cancel { which } => world.cancel_order(order(which)),
        Move::Courier { which, act } => world.courier(order(which), act),
        Move::Refund { which } => world.staff_refund(order(which)),
        Move::Retry { which } => {
            world.retry(order(which));
        }
    }
}

fn is_call(timer: &Timer) -> bool {
    matches!(timer, Timer::Charge | Timer::Refund)
}

fn fire(world: &mut World, order: usize, is: impl Fn(&Timer) -> bool) {
    let set = &world.orders[order].timers.set;
    if let Some(timer) = set.iter().copied().find(is) {
        world.fire(order, timer);
    }
}

fn reach(world: &mut World, place: usize, mood: Mood) {
    let call = world.calls[place];
    if call.answer.is_none() {
        let key = world.orders[call.order].payment_id;
        let answer = world.provider.answer(key, call.is_refund, mood);
        world.calls[place].answer = Some(answer);
    }
}

/// Steps that any world takes to come to rest: far more than it should.
const STEPS_MAX: u32 = 1_000;

/// Everything that is outstanding arrives, the provider is mended, and who waits asks again: time-outs, then people. They
/// have to do so once at most.
pub fn settle(world: &mut World) -> Result<(), TestCaseError> {
    let mut asked = false;
    for _ in 0..STEPS_MAX {
        if arrive(world) || call_again(world) || time_out(world) {
            continue;
        }
        if !ask_again(world) {
            return Ok(());
        }
        prop_assert!(!asked, "something halts again though nothing fails");
        asked = true;
    }
    Err(TestCaseError::fail("it does not come to rest"))
}

/// What was under way: events and calls.
fn arrive(world: &mut World) -> bool {
    if !world.messages.is_empty() {
        let message = world.messages.remove(0);
        world.deliver(message);
        return true;
    }
    if world.calls.is_empty() {
        return false;
    }
    reach(world, 0, Mood::Willing);
    let call = world.calls.remove(0);
    world.answered(call);
    true
}

fn set(world: &World, is: impl Fn(&Timer) -> bool) -> Option<(usize, Timer)> {
    let timers = |(order, timer): (usize, Option<&Timer>)| Some((order, *timer?));
    let books = world.orders.iter().enumerate();
    books
        .map(|(order, books)| (order, books.timers.set.iter().find(|it| is(it))))
        .find_map(timers)
}

/// The provider, of those who owe or are owed money.
fn call_again(world: &mut World) -> bool {
    let due = set(world, is_call);
    if let Some((order, timer)) = due {
        world.fire(order, timer);
    }
    due.is_some()
}

/// Sagas whose participants said nothing.
fn time_out(world: &mut World) -> bool {
    let due = set(world, |_| true);
    if let Some((order, timer)) = due {
        world.fire(order, timer);
    }
    due.is_some()
}

/// Operators go on with what halts.
fn ask_again(world: &mut World) -> bool {
    let mut asked = false;
    for order in 0..world.orders.len() {
        asked |= world.retry(order);
    }
    asked
}
