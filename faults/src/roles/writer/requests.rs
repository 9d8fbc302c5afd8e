//! What a writer asks for, drawn from a seed.

use std::collections::HashMap;
use std::time::Duration;

use faults::accounts::Asked;
use faults::history::Answer;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// Accounts on which all writers meet.
const HOT_ACCOUNTS: u32 = 3;
/// Accounts on which some meet now and then.
const COMMON_ACCOUNTS: u32 = 24;

/// Withdrawals are larger than deposits, so that balances stay near zero and refusals are frequent.
const DEPOSIT_MAX: i64 = 40;
const WITHDRAWAL_MAX: i64 = 60;

/// How often writers of all processes make one and the same request, each on its own.
const COMMON_REQUEST_EVERY: u64 = 150_000_000;

/// How long a call waits usually, and how long one that is to be given up under way.
const PATIENCE: Duration = Duration::from_secs(4);
const IMPATIENCE_MS_MAX: u64 = 30;

/// The longest pause before a call.
const PAUSE_MS_MAX: u64 = 25;

/// Calls of a request with an id, after the first one was left without an answer.
const RESENDS: u32 = 3;

/// A request and how it is made.
pub(super) struct Request {
    pub(super) id: Uuid,
    pub(super) is_command_id: bool,
    pub(super) waits_if_in_flight: bool,
    pub(super) asked: Asked,
    pub(super) expected: Option<i64>,
    pub(super) patience: Duration,
    pub(super) pause: Duration,
    pub(super) resends: u32,
}

/// The requests of one writer.
pub(super) struct Requests {
    random: StdRng,
    common_seed: u64,
    /// Its place in its process: the writers of one place in all processes make the same requests now and then.
    place: u32,
    number: u32,
    /// When it last made such a request, in units of [`COMMON_REQUEST_EVERY`].
    common: u64,
    /// Newest versions that it was told.
    versions: HashMap<String, i64>,
}

impl Requests {
    pub(super) fn new(seed: u64, common_seed: u64, first_writer: u32, place: u32) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed.wrapping_add(u64::from(place))),
            common_seed,
            place,
            number: first_writer + place,
            common: 0,
            versions: HashMap::new(),
        }
    }

    /// The next one, at this time of the common clock.
    pub(super) fn next(&mut self, now: u64) -> Request {
        let turn = now / COMMON_REQUEST_EVERY;
        if turn > self.common {
            self.common = turn;
            return self.common_request(turn);
        }
        let random = &mut self.random;
        let is_command_id = random.random_bool(0.6);
        let asked = draw(random, self.number);
        let own = asked.accounts()[0];
        let expected = self.versions.get(own).copied();
        Request {
            id: Uuid::new_v4(),
            is_command_id,
            waits_if_in_flight: random.random(),
            expected: expected.filter(|_| random.random_bool(0.1)),
            asked,
            patience: match random.random_ratio(1, 25) {
                true => Duration::from_millis(random.random_range(1..=IMPATIENCE_MS_MAX)),
                false => PATIENCE,
            },
            // Half of them at once: full batches beside single commands.
            pause: match random.random() {
                true => Duration::ZERO,
                false => Duration::from_millis(random.random_range(0..=PAUSE_MS_MAX)),
            },
            resends: if is_command_id { RESENDS } else { 0 },
        }
    }

    fn common_request(&self, turn: u64) -> Request {
        let seed = self.common_seed ^ (turn << 8) ^ u64::from(self.place);
        let mut random = StdRng::seed_from_u64(seed);
        let id = Uuid::from_u64_pair(random.random(), random.random());
        Request {
            id,
            is_command_id: true,
            waits_if_in_flight: true,
            asked: draw(&mut random, self.place),
            expected: None,
            patience: PATIENCE,
            pause: Duration::ZERO,
            resends: RESENDS,
        }
    }

    pub(super) fn learn(&mut self, request: &Request, answer: &Answer) {
        if let Answer::Done { version, .. } = answer {
            let own = request.asked.accounts()[0].to_owned();
            self.versions.insert(own, *version);
        }
    }
}

fn draw(random: &mut StdRng, number: u32) -> Asked {
    let account = draw_account(random, number);
    let deposit = random.random_range(1..=DEPOSIT_MAX);
    let withdrawal = random.random_range(1..=WITHDRAWAL_MAX);
    match random.random_range(0..100) {
        0..35 => Asked::Deposit {
            account,
            amount: deposit,
        },
        35..65 => Asked::Withdraw {
            account,
            amount: withdrawal,
        },
        65..75 => {
            let mut to: Vec<String> = (0..random.random_range(1..=3))
                .map(|_| draw_account(random, number))
                .filter(|to| *to != account)
                .collect();
            to.sort();
            to.dedup();
            if to.is_empty() {
                to.push(format!("{account}-savings"));
            }
            Asked::Split {
                from: account,
                to,
                amount: random.random_range(1..=DEPOSIT_MAX / 4),
            }
        }
        75..95 => {
            let guard = format!("hot-{}", random.random_range(0..HOT_ACCOUNTS));
            let guard = match guard == account {
                true => format!("{account}-savings"),
                false => guard,
            };
            Asked::Guarded {
                account,
                guard,
                floor: random.random_range(1..=DEPOSIT_MAX / 2),
                amount: random.random_range(1..=DEPOSIT_MAX / 2),
            }
        }
        _ => Asked::Look { account },
    }
}

fn draw_account(random: &mut StdRng, number: u32) -> String {
    match random.random_range(0..10) {
        0..4 => format!("hot-{}", random.random_range(0..HOT_ACCOUNTS)),
        4..8 => format!("common-{}", random.random_range(0..COMMON_ACCOUNTS)),
        _ => format!("own-{number}"),
    }
}
