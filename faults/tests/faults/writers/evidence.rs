//! What a run leaves behind, and what can be looked up in it.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use faults::accounts::{Account, AccountEvent, Asked};
use faults::history::{Answer, Call};
use sqlx::PgPool;
use uuid::Uuid;

/// Everything the checkers look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) calls: Vec<Call>,
    /// By position.
    pub(super) log: Vec<Entry>,
    pub(super) readings: Vec<Reading>,
    pub(super) freezes: Vec<Freeze>,
}

/// An event of the log.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) account: String,
    pub(super) sequence: i64,
    pub(super) event: AccountEvent,
}

/// What a reader got, through all its restarts.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) reader: String,
    pub(super) delivered: Vec<(i64, Uuid)>,
    /// Why it stopped for good, if it did.
    pub(super) failure: Option<String>,
}

/// A time in which one process stood still, in nanoseconds of the common clock.
#[derive(Clone, Debug)]
pub(super) struct Freeze {
    pub(super) began: u64,
    pub(super) ended: u64,
    /// How long of that nobody could have done anything.
    pub(super) stalled: Duration,
    /// The writers of the processes that ran meanwhile.
    pub(super) others: Vec<u32>,
}

/// The whole log, as stored.
pub(super) async fn read_log(pool: &PgPool) -> Vec<Entry> {
    let rows: Vec<(i64, Uuid, String, i64, String)> = sqlx::query_as(
        "select position, event_id, aggregate_id, sequence, payload::text from events order by position",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(position, event_id, account, sequence, payload)| Entry {
            position,
            event_id,
            account,
            sequence,
            event: serde_json::from_str(&payload).unwrap(),
        })
        .collect()
}

/// All calls of one request, and what the log has of it.
pub(super) struct Request<'a> {
    pub(super) id: Uuid,
    pub(super) calls: Vec<&'a Call>,
    /// Each time that its events are in the log: whole or in part, by index.
    pub(super) effects: Vec<Range<usize>>,
}

impl<'a> Request<'a> {
    pub(super) fn asked(&self) -> &'a Asked {
        &self.calls[0].invoked.asked
    }

    pub(super) fn expected(&self) -> Option<i64> {
        self.calls[0].invoked.expected
    }

    pub(super) fn first_invoked(&self) -> u64 {
        let invoked = self.calls.iter().map(|call| call.invoked.at);
        invoked.min().expect("a request has a call")
    }

    /// What its calls returned, and when.
    pub(super) fn answers(&self) -> impl Iterator<Item = (u64, &'a Answer)> {
        self.calls
            .iter()
            .filter_map(|call| call.answered.as_ref().map(|(at, answer)| (*at, answer)))
    }

    /// Those of its answers that say what became of it, and the time of the first one.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (u64, &'a Answer)> {
        self.answers()
            .filter(|(_, answer)| !matches!(answer, Answer::NotDone | Answer::Unknown))
    }

    /// Its events with their accounts, in order, if it is in the log once and whole.
    pub(super) fn wanted(&self) -> Vec<(&'a str, AccountEvent)> {
        let asked = self.asked();
        let events = asked.events(self.id);
        let each = asked.accounts().into_iter().zip(events);
        each.flat_map(|(account, events)| events.into_iter().map(move |event| (account, event)))
            .collect()
    }
}

/// The requests of a run by id, and the entries of the log that nobody asked for.
pub(super) fn requests(evidence: &Evidence) -> (HashMap<Uuid, Request<'_>>, Vec<&Entry>) {
    let mut requests: HashMap<Uuid, Request<'_>> = HashMap::new();
    for call in &evidence.calls {
        let id = call.invoked.request;
        let request = requests.entry(id).or_insert_with(|| Request {
            id,
            calls: Vec::new(),
            effects: Vec::new(),
        });
        request.calls.push(call);
    }
    let mut unasked = Vec::new();
    for (index, entry) in evidence.log.iter().enumerate() {
        let Some(request) = requests.get_mut(&entry.event.request()) else {
            unasked.push(entry);
            continue;
        };
        let begins = request
            .wanted()
            .first()
            .is_some_and(|(account, event)| *account == entry.account && *event == entry.event);
        match request.effects.last_mut() {
            Some(effect) if effect.end == index && !begins => effect.end = index + 1,
            _ => request.effects.push(index..index + 1),
        }
    }
    (requests, unasked)
}

/// An account and its version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Versioned {
    pub(super) account: Account,
    pub(super) version: i64,
}

/// Every state that an account ever had, after the position that led to it.
pub(super) struct States<'a>(HashMap<&'a str, Vec<(i64, Versioned)>>);

impl<'a> States<'a> {
    pub(super) fn of(log: &'a [Entry]) -> Self {
        let mut states: HashMap<&str, Vec<(i64, Versioned)>> = HashMap::new();
        for entry in log {
            let states = states.entry(&entry.account).or_default();
            let mut now = states
                .last()
                .map(|(_, now)| now.clone())
                .unwrap_or_default();
            cqrs_es::Aggregate::apply(&mut now.account, entry.event.clone());
            now.version = entry.sequence;
            states.push((entry.position, now));
        }
        Self(states)
    }

    /// The state of an account after everything up to a position.
    pub(super) fn at(&self, account: &str, position: i64) -> Versioned {
        let Some(states) = self.0.get(account) else {
            return Versioned::default();
        };
        let until = states.partition_point(|(at, _)| *at <= position);
        match until {
            0 => Versioned::default(),
            until => states[until - 1].1.clone(),
        }
    }

    /// The positions from `first` to `last` after which the accounts may look different: `first`, and each one that changed
    /// one of them.
    pub(super) fn moments(&self, accounts: &[&str], first: i64, last: i64) -> Vec<i64> {
        let mut moments = vec![first];
        for account in accounts {
            let states = self.0.get(account).map(Vec::as_slice).unwrap_or_default();
            let from = states.partition_point(|(at, _)| *at <= first);
            moments.extend(
                states[from..]
                    .iter()
                    .map(|(at, _)| *at)
                    .take_while(|at| *at <= last),
            );
        }
        moments
    }
}

/// Which positions real time allows.
pub(super) struct Bounds {
    /// By time of the answer: the highest position told until then.
    told: Vec<(u64, i64)>,
    /// By time of the first call: the lowest position of what was asked then or later.
    asked: Vec<(u64, i64)>,
    head: i64,
}

impl Bounds {
    pub(super) fn of(evidence: &Evidence, requests: &HashMap<Uuid, Request<'_>>) -> Self {
        let mut told: Vec<(u64, i64)> = requests
            .values()
            .flat_map(Request::answers)
            .filter_map(|(at, answer)| match answer {
                Answer::Done { position, .. } => Some((at, *position)),
                _ => None,
            })
            .collect();
        told.sort_unstable();
        let mut highest = 0;
        for (_, position) in &mut told {
            highest = highest.max(*position);
            *position = highest;
        }
        let mut asked: Vec<(u64, i64)> = requests
            .values()
            .filter_map(|request| {
                let first = request.effects.first()?.start;
                Some((request.first_invoked(), evidence.log[first].position))
            })
            .collect();
        asked.sort_unstable();
        let mut lowest = i64::MAX;
        for (_, position) in asked.iter_mut().rev() {
            lowest = lowest.min(*position);
            *position = lowest;
        }
        let head = evidence.log.last().map_or(0, |entry| entry.position);
        Self { told, asked, head }
    }

    /// What was told before this time is at this position or below it.
    pub(super) fn lowest(&self, at: u64) -> i64 {
        match self.told.partition_point(|(told, _)| *told < at) {
            0 => 0,
            until => self.told[until - 1].1,
        }
    }

    /// What was asked for after this time is above this position.
    pub(super) fn highest(&self, at: u64) -> i64 {
        let from = self.asked.partition_point(|(asked, _)| *asked <= at);
        self.asked
            .get(from)
            .map_or(self.head, |(_, position)| (position - 1).min(self.head))
    }
}
