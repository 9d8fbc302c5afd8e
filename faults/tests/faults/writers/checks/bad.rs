//! Each checker, fed a run in which its rule is broken and nothing else: one that cannot fail would prove nothing.

use std::time::Duration;

use faults::accounts::{AccountEvent, Asked, Refusal};
use faults::history::{Answer, Call, Invoked};
use uuid::Uuid;

use super::{Checker, check, counted};
use crate::writers::evidence::{Entry, Evidence, Freeze, Reading};

/// A second of the common clock.
const SECOND: u64 = 1_000_000_000;

/// Makes a run, call by call; each takes a second.
#[derive(Default)]
struct Story {
    evidence: Evidence,
    now: u64,
}

impl Story {
    /// A call by writer 0 and what it was told; its request.
    fn call(&mut self, asked: Asked, answer: Option<Answer>) -> Uuid {
        let request = Uuid::new_v4();
        self.call_again(request, asked, answer);
        request
    }

    fn call_again(&mut self, request: Uuid, asked: Asked, answer: Option<Answer>) {
        let at = self.now;
        self.now += SECOND;
        self.evidence.calls.push(Call {
            process: 0,
            invoked: Invoked {
                call: at,
                writer: 0,
                request,
                is_command_id: true,
                asked,
                expected: None,
                at,
            },
            answered: answer.map(|answer| (at + SECOND / 2, answer)),
        });
    }

    /// The events of a request, at the end of the log.
    fn append(&mut self, asked: &Asked, request: Uuid) {
        let each = asked.accounts().into_iter().zip(asked.events(request));
        for (account, events) in each {
            for event in events {
                self.append_event(account, event);
            }
        }
    }

    fn append_event(&mut self, account: &str, event: AccountEvent) {
        let log = &mut self.evidence.log;
        let before = log.iter().filter(|entry| entry.account == account).count();
        log.push(Entry {
            position: i64::try_from(log.len()).unwrap() + 1,
            event_id: Uuid::new_v4(),
            account: account.to_owned(),
            sequence: i64::try_from(before).unwrap() + 1,
            event,
        });
    }

    /// An accepted request, in the log and told.
    fn accept(&mut self, asked: Asked) -> Uuid {
        let request = Uuid::new_v4();
        self.append(&asked, request);
        let entries = &self.evidence.log;
        let own = entries
            .iter()
            .rev()
            .find(|entry| entry.account == asked.accounts()[0])
            .unwrap();
        let answer = Answer::Done {
            position: entries.last().unwrap().position,
            version: own.sequence,
            events: asked.events(request).concat().len(),
            replayed: false,
        };
        self.call_again(request, asked, Some(answer));
        request
    }

    fn read_by(&mut self, reader: &str) -> &mut Reading {
        let entries = self.evidence.log.iter();
        self.evidence.readings.push(Reading {
            reader: reader.to_owned(),
            delivered: entries
                .map(|entry| (entry.position, entry.event_id))
                .collect(),
            failure: None,
        });
        self.evidence.readings.last_mut().unwrap()
    }

    /// The checkers that find something.
    fn caught_by(&self) -> Vec<Checker> {
        counted(&check(&self.evidence)).into_keys().collect()
    }
}

fn deposit(account: &str, amount: i64) -> Asked {
    Asked::Deposit {
        account: account.to_owned(),
        amount,
    }
}

fn withdraw(account: &str, amount: i64) -> Asked {
    Asked::Withdraw {
        account: account.to_owned(),
        amount,
    }
}

fn refused(balance: i64, requested: i64) -> Option<Answer> {
    Some(Answer::Refused {
        refusal: Refusal::Uncovered { balance, requested },
        replayed: false,
    })
}

/// A run with something of everything, in which all is well.
fn good() -> Story {
    let mut story = Story::default();
    story.accept(deposit("a", 10));
    story.accept(Asked::Split {
        from: "a".to_owned(),
        to: vec!["b".to_owned(), "c".to_owned()],
        amount: 3,
    });
    story.call(withdraw("a", 5), refused(4, 5));
    story.call(deposit("a", 1), None);
    let unknown = story.call(deposit("a", 2), Some(Answer::Unknown));
    story.append(&deposit("a", 2), unknown);
    story.call(deposit("a", 7), Some(Answer::NotDone));
    story.accept(Asked::Guarded {
        account: "a".to_owned(),
        guard: "b".to_owned(),
        floor: 3,
        amount: 6,
    });
    let look = Asked::Look {
        account: "a".to_owned(),
    };
    let told = Answer::Done {
        position: 6,
        version: 4,
        events: 0,
        replayed: false,
    };
    story.call(look, Some(told));
    story.read_by("all");
    story
}

#[test]
fn a_good_run_is_good() {
    assert_eq!(good().caught_by(), []);
}

#[test]
fn holes_are_caught() {
    let mut story = Story::default();
    story.call(deposit("a", 1), None);
    let id = story.call(deposit("a", 1), None);
    story.append(&deposit("a", 1), id);
    story.evidence.log[0].position = 2;
    assert_eq!(story.caught_by(), [Checker::Positions]);
    story.evidence.log[0].position = 1;
    story.evidence.log[0].sequence = 2;
    assert_eq!(story.caught_by(), [Checker::Versions]);
}

#[test]
fn a_reader_that_skips_repeats_swaps_or_stops_is_caught() {
    type Spoil = fn(&mut Reading);
    let spoils: [Spoil; 4] = [
        |reading| {
            reading.delivered.remove(2);
        },
        |reading| reading.delivered.push(reading.delivered[0]),
        |reading| reading.delivered.swap(1, 2),
        |reading| reading.failure = Some("stopped".to_owned()),
    ];
    for spoil in spoils {
        let mut story = good();
        spoil(story.read_by("spoilt"));
        assert_eq!(story.caught_by(), [Checker::Readers]);
    }
}

#[test]
fn what_was_told_and_is_absent_elsewhere_or_there_twice_is_caught() {
    let told = |position| Answer::Done {
        position,
        version: 1,
        events: 1,
        replayed: false,
    };
    let mut absent = Story::default();
    absent.call(deposit("a", 1), Some(told(1)));
    assert_eq!(absent.caught_by(), [Checker::Once]);

    let mut elsewhere = Story::default();
    let id = elsewhere.call(deposit("a", 1), Some(told(7)));
    elsewhere.append(&deposit("a", 1), id);
    assert_eq!(elsewhere.caught_by(), [Checker::Once]);

    let mut twice = Story::default();
    let id = twice.call(deposit("a", 1), Some(Answer::Unknown));
    twice.append(&deposit("a", 1), id);
    twice.append(&deposit("a", 1), id);
    assert_eq!(twice.caught_by(), [Checker::Once]);

    let mut unasked = Story::default();
    unasked.append(&deposit("a", 1), Uuid::new_v4());
    assert_eq!(unasked.caught_by(), [Checker::Once]);
}

#[test]
fn half_a_request_is_caught() {
    let mut story = Story::default();
    story.accept(deposit("a", 10));
    let split = Asked::Split {
        from: "a".to_owned(),
        to: vec!["b".to_owned()],
        amount: 3,
    };
    let request = story.call(split.clone(), None);
    story.append_event("a", split.events(request)[0][0].clone());
    assert_eq!(story.caught_by(), [Checker::Whole]);
}

#[test]
fn what_was_refused_or_not_done_and_is_there_is_caught() {
    for answer in [refused(0, 5), Some(Answer::NotDone)] {
        let mut story = Story::default();
        let request = story.call(withdraw("a", 5), answer);
        let before = story.call(deposit("a", 5), None);
        story.append(&deposit("a", 5), before);
        story.append(&withdraw("a", 5), request);
        assert_eq!(story.caught_by(), [Checker::Refused]);
    }
}

#[test]
fn what_comes_before_something_told_earlier_is_caught() {
    let mut story = Story::default();
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    story.append(&deposit("b", 1), second);
    story.append(&deposit("a", 1), first);
    let told = |position| Answer::Done {
        position,
        version: 1,
        events: 1,
        replayed: false,
    };
    story.call_again(first, deposit("a", 1), Some(told(2)));
    story.call_again(second, deposit("b", 1), Some(told(1)));
    assert_eq!(story.caught_by(), [Checker::RealTime]);
}

#[test]
fn a_look_at_an_older_or_another_state_is_caught() {
    for (position, version) in [(1, 1), (2, 1), (3, 3)] {
        let mut story = Story::default();
        story.accept(deposit("a", 1));
        story.accept(deposit("a", 1));
        let look = Asked::Look {
            account: "a".to_owned(),
        };
        let told = Answer::Done {
            position,
            version,
            events: 0,
            replayed: false,
        };
        story.call(look, Some(told));
        story.accept(deposit("a", 1));
        assert_eq!(story.caught_by(), [Checker::RealTime]);
    }
}

#[test]
fn what_the_rules_forbid_is_caught() {
    let mut overdrawn = Story::default();
    overdrawn.accept(deposit("a", 1));
    overdrawn.accept(withdraw("a", 2));
    assert_eq!(overdrawn.caught_by(), [Checker::Accepted]);

    let mut unguarded = Story::default();
    unguarded.accept(deposit("a", 5));
    unguarded.accept(Asked::Guarded {
        account: "a".to_owned(),
        guard: "b".to_owned(),
        floor: 1,
        amount: 1,
    });
    assert_eq!(unguarded.caught_by(), [Checker::Accepted]);

    let mut unexpected = Story::default();
    unexpected.accept(deposit("a", 5));
    unexpected.accept(deposit("a", 5));
    unexpected.evidence.calls[1].invoked.expected = Some(0);
    assert_eq!(unexpected.caught_by(), [Checker::Accepted]);
}

#[test]
fn a_refusal_that_was_never_right_is_caught() {
    let mut stale = Story::default();
    stale.accept(deposit("a", 1));
    stale.accept(deposit("a", 9));
    stale.call(withdraw("a", 5), refused(1, 5));
    assert_eq!(stale.caught_by(), [Checker::Refusals]);

    let mut early = Story::default();
    early.accept(deposit("a", 9));
    early.call(withdraw("a", 5), refused(1, 5));
    early.accept(withdraw("a", 8));
    assert_eq!(early.caught_by(), [Checker::Refusals]);

    let mut mismatch = Story::default();
    mismatch.accept(deposit("a", 9));
    let told = Answer::Mismatch {
        expected: 0,
        actual: 2,
        replayed: false,
    };
    mismatch.call(deposit("a", 5), Some(told));
    mismatch.evidence.calls[1].invoked.expected = Some(0);
    assert_eq!(mismatch.caught_by(), [Checker::Refusals]);
}

#[test]
fn a_writer_that_waits_for_a_frozen_process_is_caught() {
    let mut story = good();
    let freeze = |seconds| Freeze {
        began: story.now,
        ended: story.now + seconds * SECOND,
        stalled: Duration::ZERO,
        others: vec![0],
    };
    let (short, long) = (freeze(1), freeze(3));
    let stalled = Freeze {
        stalled: Duration::from_secs(2),
        ..long.clone()
    };
    story.evidence.freezes = vec![short, stalled];
    assert_eq!(story.caught_by(), []);
    story.evidence.freezes = vec![long];
    assert_eq!(story.caught_by(), [Checker::Progress]);
}

#[test]
fn answers_that_disagree_or_surprise_are_caught() {
    let mut story = Story::default();
    let request = story.call(withdraw("a", 5), refused(0, 5));
    let told = Answer::Done {
        position: 0,
        version: 0,
        events: 0,
        replayed: true,
    };
    story.call_again(request, withdraw("a", 5), Some(told));
    assert_eq!(story.caught_by(), [Checker::Answers]);

    let mut story = Story::default();
    let strange = Answer::Strange("closed".to_owned());
    story.call(deposit("a", 1), Some(strange));
    assert_eq!(story.caught_by(), [Checker::Answers]);
}
