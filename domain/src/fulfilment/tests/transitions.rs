//! The table on top of the saga's file is what the saga does.

use super::*;
use crate::saga::table;

fn step_of(event: &Event) -> Option<Step> {
    STEPS
        .into_iter()
        .find(|step| (1..9).any(|attempt| *event == ask(*step, attempt)))
}

/// What events lead to, in the table's words.
fn words(from: Option<Step>, events: &[Event]) -> String {
    let step = |event: &Event| match step_of(event) {
        Some(step) if Some(step) == from => "the same".to_owned(),
        Some(step) => format!("{step:?}"),
        None => panic!("not a request: {event:?}"),
    };
    match events {
        [] => "nothing".to_owned(),
        [Event::Completed] => "Completed".to_owned(),
        [Event::Cancelled { reason }] => format!("Cancelled ({})", reason.as_str()),
        [Event::AttemptFailed { .. }] => "noted".to_owned(),
        [Event::Parked { .. }] => "parked".to_owned(),
        [Event::CompensationStarted { reason }, request] => {
            format!("{} ({})", step(request), reason.as_str())
        }
        [Event::Started(_) | Event::Retried, request] => step(request),
        [request] => step(request),
        events => panic!("the table has no words for {events:?}"),
    }
}

#[test]
fn the_table_is_what_the_saga_does() {
    let mut table = table::read(include_str!("../../fulfilment.rs"));
    let mut expected = |step: &str, input: &str| {
        let key = (step.to_owned(), input.to_owned());
        table.remove(&key)
    };
    let begun = Fulfilment::NotStarted.react(started());
    assert_eq!(expected("(nothing)", "started"), Some(words(None, &begun)));
    for (_, input) in said().into_iter().skip(1) {
        assert_eq!(Fulfilment::NotStarted.react(input), vec![]);
    }
    let again = expected("any other", "timed out").unwrap();
    for step in STEPS {
        let name = format!("{step:?}");
        let hears =
            |attempts, input| words(Some(step), &fold(history(step, attempts)).react(input));
        for (said, input) in said() {
            let leads_to = expected(&name, said).unwrap_or("nothing".to_owned());
            let (once, last) = leads_to
                .split_once("; too often: ")
                .unwrap_or((&leads_to, ""));
            // The reason is that of the history.
            assert_eq!(
                hears(1, input),
                once.replace("the reason", "customer"),
                "{name}, {said}"
            );
            if !last.is_empty() {
                let failed = fold(history(step, TRIES_MAX)).react(refund_failed(TRIES_MAX));
                assert_eq!(words(Some(step), &failed[1..]), last, "{name}, {said}");
            }
        }
        let (same, last) = again.split_once("; too often: ").unwrap();
        let first = expected(&name, "timed out");
        let often = expected(&name, "timed out too often").or(first.clone());
        let time_out = |attempt| hears(attempt, Input::TimedOut { step, attempt });
        assert_eq!(time_out(1), first.unwrap_or(same.to_owned()), "{name}");
        assert_eq!(
            time_out(TRIES_MAX),
            often.unwrap_or(last.to_owned()),
            "{name}"
        );
        assert_eq!(hears(1, Input::Retried), "nothing");
    }
    let retried = fold(halted(Step::Commit)).react(Input::Retried);
    assert_eq!(
        expected("parked", "retried"),
        Some(words(Some(Step::Commit), &retried))
    );
    assert_eq!(table, table::Table::new(), "nothing is tried by this test");
}
