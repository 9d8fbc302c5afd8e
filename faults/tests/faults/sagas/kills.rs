//! kill -9 at every point, one after the other, while customers go on ordering.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use faults::{At, Fault, Process};
use nix::sys::signal::Signal;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::customers::Customers;
use super::site::{LOOK_INTERVAL, Role, Site};
use super::{LONG, SOON};

/// A point, and the most that a process passes it before it dies there.
type Point = (&'static str, u64);

/// Between what the log holds and what sagas and participants do about it.
const REACTORS: [Point; 32] = [
    ("reactor-parked", 1),
    ("reactor-read", 10),
    ("reactor-handled", 8),
    ("reactor-saved", 8),
    ("timer-read", 12),
    ("timer-fired", 8),
    ("saga-told", 20),
    ("saga-advanced", 20),
    ("saga-told-undone", 6),
    ("saga-undone", 6),
    ("return-told", 4),
    ("return-advanced", 4),
    ("saga-time-is-up", 3),
    ("saga-timed-out", 3),
    ("inventory-asked", 8),
    ("inventory-answered", 8),
    ("payment-asked", 6),
    ("payment-begun", 6),
    ("payment-charging", 6),
    ("payment-charged", 6),
    ("payment-unanswered", 3),
    ("payment-refunding", 3),
    ("payment-refunded", 3),
    ("payment-told", 6),
    ("refund-failed", 1),
    ("refund-again", 1),
    ("delivery-asked", 5),
    ("delivery-answered", 5),
    ("delivery-cancelling", 1),
    ("delivery-cancelled", 1),
    ("append-decided", 15),
    ("append-committed", 15),
];

/// Between the request of a customer or of staff and its answer.
const ORDERS: [Point; 8] = [
    ("order-placing", 6),
    ("order-placed", 6),
    ("order-calling-off", 2),
    ("order-called-off", 2),
    ("delivery-failing", 2),
    ("delivery-failed", 2),
    ("append-decided", 6),
    ("append-committed", 6),
];

/// Between the log and Kafka.
const RELAY: [Point; 6] = [
    ("relay-resumed", 1),
    ("relay-read", 15),
    ("relay-sent", 150),
    ("relay-acknowledged", 150),
    ("relay-saving", 10),
    ("relay-checkpointed", 10),
];

/// Where what nobody can read has been parked: each participant does it once.
const UNREADABLE: &str = "reactor-parked";
/// A point that is passed no more often than that has to be waited for.
const RARE_MAX: u64 = 3;
/// At every point early in a process's life, and later.
const ROUNDS: usize = 2;

/// What is ordered while a process is at work that will die.
const ORDERS_A_LIFE: usize = 3;
/// After so long it wants more customers, one at a time.
const LIFE_QUIET: Duration = Duration::from_millis(1_500);
const ONE_MORE: Duration = Duration::from_millis(250);

/// Where a process died.
#[derive(Clone, Debug)]
pub(super) struct Death {
    pub(super) role: Role,
    pub(super) point: &'static str,
    pub(super) occurrence: u64,
}

fn points(role: Role) -> &'static [Point] {
    match role {
        Role::Reactors => &REACTORS,
        Role::Orders => &ORDERS,
        Role::Relay => &RELAY,
    }
}

/// Has processes of a kind die at every point, at once and later, and then one live on. Other processes than the reactors go
/// on dying until `over`, which is when the reactors have died everywhere.
pub(super) async fn kill_at_every_point(
    site: &Site,
    customers: &Customers,
    role: Role,
    random: &mut StdRng,
    over: &CancellationToken,
) -> (Vec<Death>, Process) {
    let mut deaths = Vec::new();
    for round in 0.. {
        let is_extra = round >= ROUNDS;
        if is_extra && (role == Role::Reactors || over.is_cancelled()) {
            break;
        }
        for death in drawn(role, round, random) {
            if die(site, customers, &death, is_extra.then_some(over)).await {
                deaths.push(death);
            }
        }
    }
    if role == Role::Reactors {
        over.cancel();
    }
    (deaths, site.start(role, None).await)
}

/// Every point, in any order: early in a process's life in the first round.
fn drawn(role: Role, round: usize, random: &mut StdRng) -> Vec<Death> {
    let mut points = points(role).to_vec();
    points.shuffle(random);
    if round == 0 {
        // What is rare comes once there is something to wait for; what nobody can read is met at the very beginning.
        points.sort_by_key(|(point, passes_max)| (*point != UNREADABLE, *passes_max <= RARE_MAX));
    } else {
        points.retain(|(point, _)| *point != UNREADABLE);
    }
    let die_at = |(point, passes_max)| Death {
        role,
        point,
        occurrence: match round {
            _ if passes_max == 1 => 1,
            0 => random.random_range(1..=2),
            _ => random.random_range(2..=passes_max),
        },
    };
    points.into_iter().map(die_at).collect()
}

/// Whether it died there. Where `over` comes first it is killed wherever it is.
async fn die(
    site: &Site,
    customers: &Customers,
    death: &Death,
    over: Option<&CancellationToken>,
) -> bool {
    let at = At {
        point: death.point.to_owned(),
        occurrence: death.occurrence,
        fault: Fault::Kill,
    };
    let mut process = site.start(death.role, Some(&at)).await;
    let began = Instant::now();
    if death.role == Role::Reactors {
        customers.release(ORDERS_A_LIFE);
    }
    let mut is_there = true;
    let mut more_at = began + LIFE_QUIET;
    while !process.has_ended() {
        assert!(began.elapsed() < LONG, "{death:?} does not come");
        if over.is_some_and(CancellationToken::is_cancelled) {
            process.kill();
            is_there = false;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
        if Instant::now() >= more_at && over.is_none() {
            customers.release(1);
            more_at = Instant::now() + ONE_MORE;
        }
    }
    let status = process.ended(SOON).await;
    let killed = Some(Signal::SIGKILL as i32);
    assert_eq!(status.signal(), killed, "{death:?}: {status}");
    site.bury(death.role).await;
    is_there
}
