use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;

fn subject() -> Subject {
    Subject {
        user_id: UserId::new(Uuid::from_u128(1)),
        channel: Channel::Email,
        about: "order.completed".to_owned(),
        order_id: Some(OrderId::new(Uuid::from_u128(2))),
        occurred_at: Some(DateTime::UNIX_EPOCH),
        facts: json!({"final": true}),
    }
}

fn attempt() -> Command {
    Command::Attempt(subject())
}

fn error() -> String {
    "refused".to_owned()
}

fn fail() -> Command {
    Command::Fail { error: error() }
}

fn give_up() -> Command {
    Command::GiveUp { error: error() }
}

fn attempted(attempt: u32) -> Event {
    let subject = subject();
    Event::Attempted { subject, attempt }
}

fn sent(attempt: u32) -> Event {
    let subject = subject();
    Event::Sent { subject, attempt }
}

fn failed(attempt: u32, is_final: bool) -> Event {
    Event::Failed {
        subject: subject(),
        attempt,
        error: error(),
        is_final,
    }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Notification> {
    TestFramework::with(()).given(events.into_iter().collect())
}

#[test]
fn an_attempt_is_written_down_before_it_is_made() {
    given([])
        .when(attempt())
        .then_expect_events(vec![attempted(1)]);
}

#[test]
fn whoever_finds_an_attempt_does_not_make_another() {
    for history in [
        vec![attempted(1)],
        vec![attempted(1), sent(1)],
        vec![attempted(1), failed(1, true)],
    ] {
        given(history).when(attempt()).then_expect_events(vec![]);
    }
}

#[test]
fn an_attempt_has_one_outcome() {
    for (command, event) in [
        (Command::MarkSent, sent(1)),
        (fail(), failed(1, false)),
        (give_up(), failed(1, true)),
    ] {
        given([attempted(1)])
            .when(command)
            .then_expect_events(vec![event]);
    }
    for command in [Command::MarkSent, fail(), give_up()] {
        for end in [sent(1), failed(1, true)] {
            given([attempted(1), end])
                .when(command.clone())
                .then_expect_events(vec![]);
        }
        for history in [vec![], vec![attempted(1), failed(1, false)]] {
            given(history)
                .when(command.clone())
                .then_expect_error(Error::NotAttempted);
        }
    }
}

#[test]
fn what_did_not_go_out_is_tried_again_so_often() {
    given([attempted(1), failed(1, false)])
        .when(attempt())
        .then_expect_events(vec![attempted(2)]);
    given([attempted(ATTEMPTS_MAX - 1)])
        .when(fail())
        .then_expect_events(vec![failed(ATTEMPTS_MAX - 1, false)]);
    given([attempted(ATTEMPTS_MAX)])
        .when(fail())
        .then_expect_events(vec![failed(ATTEMPTS_MAX, true)]);
}

#[test]
fn an_operator_has_what_was_given_up_tried_again() {
    given([attempted(3), failed(3, true)])
        .when(Command::Retry)
        .then_expect_events(vec![attempted(4)]);
    for history in [
        vec![],
        vec![attempted(1)],
        vec![attempted(1), failed(1, false)],
        vec![attempted(1), sent(1)],
    ] {
        given(history)
            .when(Command::Retry)
            .then_expect_error(Error::NotGivenUp);
    }
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Notification>(vec![sent(1)]);
    assert!(
        message.contains("notification.sent recorded while New"),
        "{message}"
    );
    let message = panic_of::<Notification>(vec![attempted(1), sent(1), attempted(2)]);
    assert!(
        message.contains("notification.attempted recorded while Sent"),
        "{message}"
    );
}

#[test]
fn what_there_is_to_say_stands_in_every_event_and_old_ones_know_nothing_of_it() {
    let stored = serde_json::to_value(failed(1, true)).unwrap();
    assert_eq!(stored["facts"], json!({"final": true}));
    assert_eq!(stored["final"], true, "of the attempt, not of the facts");
    assert_eq!(stored["occurred_at"], "1970-01-01T00:00:00Z");
    let mut old = stored.clone();
    for added in ["facts", "occurred_at"] {
        old.as_object_mut().unwrap().remove(added);
    }
    let read: Event = serde_json::from_value(old.clone()).unwrap();
    let Event::Failed { ref subject, .. } = read else {
        panic!("{read:?}");
    };
    assert_eq!((&subject.facts, subject.occurred_at), (&Value::Null, None));
    assert_eq!(serde_json::to_value(read).unwrap(), old);
    assert_eq!(
        serde_json::from_value::<Event>(stored).unwrap(),
        failed(1, true)
    );
}

#[test]
fn words_are_written_as_they_are_stored() {
    for channel in Channel::ALL {
        let stored = serde_json::to_value(channel).unwrap();
        assert_eq!(stored, channel.as_str());
    }
}
