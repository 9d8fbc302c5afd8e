//! Parking of whole streams in order; retries and discards.

use std::collections::HashSet;

use eventstore::{Checkpoint, Runner, RunnerOptions, dead_letters};

use super::{Consumer, List, append};
use crate::publishing::deposits;

async fn a_poison_event_parks_its_stream_and_nothing_else(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([3])).await;
    append(&consumer.store, "ababab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 4, 6]);
    assert_eq!(consumer.parked().await, [(3, 1, 1)]);

    // Also what comes later, also after a restart.
    append(&consumer.store, "ab").await;
    consumer.catch_up().await;
    consumer.restart().await;
    append(&consumer.store, "ab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 4, 6, 8, 10]);
    assert_eq!(consumer.parked().await, [(3, 1, 3)]);
    let letter = consumer.only_letter().await;
    assert_eq!(letter.stream_id, "a");
    assert_eq!(letter.error.as_deref(), Some("no such colour"));
}

async fn two_poison_streams_in_one_batch_are_parked_both(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([1, 2])).await;
    append(&consumer.store, "abcab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [3]);
    assert_eq!(consumer.parked().await, [(1, 1, 1), (2, 1, 1)]);
    assert_eq!(
        dead_letters::count(consumer.pool(), Some("list"))
            .await
            .unwrap(),
        2
    );
}

async fn a_crash_between_parking_and_the_checkpoint_parks_nothing_twice_and_nothing_too_much(
    kafka: bool,
) {
    let mut consumer = Consumer::new(kafka, List::poison([3])).await;
    append(&consumer.store, "aaaab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 5]);
    // The effect of the batch was lost, the dead letters were not.
    consumer.list.set(|inner| {
        inner.checkpoint = Checkpoint::START;
        inner.positions.clear();
    });
    consumer.restart().await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 5]);
    assert_eq!(consumer.parked().await, [(3, 1, 1)]);
}

async fn a_retry_hands_the_stream_over_in_order_and_sets_it_free(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([1])).await;
    append(&consumer.store, "abaa").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [2]);

    // Not yet mended: parked again, and counted.
    let letter = consumer.only_letter().await;
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    assert_eq!(consumer.only_letter().await.state, "retry");
    consumer.step().await;
    assert_eq!(consumer.only_letter().await.state, "parked");
    assert_eq!(consumer.parked().await, [(1, 2, 2)]);

    // Mended; but a later one of the stream fails now.
    consumer.list.set(|inner| inner.poison = HashSet::from([4]));
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    consumer.step().await;
    assert_eq!(consumer.list.positions(), [2, 1, 3]);
    assert_eq!(consumer.parked().await, [(4, 1, 0)]);
    assert_eq!(
        consumer.only_letter().await.error.as_deref(),
        Some("no such colour")
    );

    consumer.list.set(|inner| inner.poison.clear());
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    assert_eq!(letter.blocked, 1);
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    consumer.step().await;
    assert!(consumer.parked().await.is_empty());
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [2, 1, 3, 4, 5, 6]);
}

async fn a_discarded_event_is_skipped_for_good_and_the_rest_follows(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([2])).await;
    append(&consumer.store, "aaaa").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    dead_letters::discard(consumer.pool(), letter.id, "anna", "a test order")
        .await
        .unwrap();
    consumer.step().await;
    assert_eq!(consumer.list.positions(), [1, 3, 4]);
    assert!(consumer.parked().await.is_empty());
    assert_eq!(
        dead_letters::skipped(consumer.pool(), "list")
            .await
            .unwrap(),
        [2]
    );
    let (shown, _) = dead_letters::show(consumer.pool(), letter.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(shown.state, "discarded");
    assert_eq!(shown.decided_by.as_deref(), Some("anna"));
    assert_eq!(shown.reason.as_deref(), Some("a test order"));

    // A rebuild from the start honours it, under its own name too.
    for (consumer_name, discards_of) in [("list", vec![]), ("list#2", vec!["list".to_owned()])] {
        let mut rebuilt = List::poison([2]);
        let mut feed = consumer.followed.open(Checkpoint::START).await;
        let options = RunnerOptions {
            discards_of,
            ..RunnerOptions::default()
        };
        let mut runner = Runner::new(consumer.store.clone(), consumer_name, options);
        while rebuilt.position() < 4 {
            runner.step(&mut *feed, &mut rebuilt).await.unwrap();
        }
        assert_eq!(rebuilt.positions(), [1, 3, 4]);
    }
}

async fn the_last_of_a_stream_discarded_sets_it_free(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([1])).await;
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    dead_letters::discard(consumer.pool(), letter.id, "anna", "wrong")
        .await
        .unwrap();
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [2]);
}

async fn a_stream_whose_turn_has_not_come_is_not_retried_before_it(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([3])).await;
    append(&consumer.store, "abaab").await;
    consumer.catch_up().await;
    assert_eq!(consumer.parked().await, [(3, 1, 1)]);
    // A crash before the checkpoint, after the dead letters were written; it is mended and retried meanwhile.
    consumer.list.set(|inner| {
        inner.checkpoint = Checkpoint::START;
        inner.positions.clear();
        inner.poison.clear();
    });
    let letter = consumer.only_letter().await;
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    consumer.restart().await;
    consumer.catch_up().await;
    assert_eq!(consumer.list.positions(), [1, 2, 3, 4, 5]);
    assert!(consumer.parked().await.is_empty());
}

async fn what_is_parked_behind_an_event_that_is_being_discarded_follows_too(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([1])).await;
    append(&consumer.store, "a").await;
    consumer.catch_up().await;
    let letter = consumer.only_letter().await;
    append(&consumer.store, "a").await;
    // The runner does not know of it yet, and parks the next one behind it.
    dead_letters::discard(consumer.pool(), letter.id, "anna", "wrong")
        .await
        .unwrap();
    while consumer.list.position() < 2 {
        let step = consumer
            .runner
            .step(&mut *consumer.feed, &mut consumer.list);
        step.await.unwrap();
    }
    consumer.step().await;
    consumer.step().await;
    assert_eq!(consumer.list.positions(), [2]);
    assert!(consumer.parked().await.is_empty());
}

async fn a_retry_that_was_broken_off_goes_on(kafka: bool) {
    let mut consumer = Consumer::new(kafka, List::poison([1])).await;
    deposits(&consumer.store, "a", 600).await;
    consumer.catch_up().await;
    assert_eq!(consumer.parked().await, [(1, 1, 599)]);
    consumer.list.set(|inner| inner.poison.clear());
    let letter = consumer.only_letter().await;
    dead_letters::request_retry(consumer.pool(), letter.id, "anna")
        .await
        .unwrap();
    // The first page has had its effect and left the dead letters, with it what was asked for. Then it crashed.
    consumer.list.set(|inner| inner.positions.extend(1..=256));
    sqlx::query("delete from dead_letters where position <= 256")
        .execute(consumer.pool())
        .await
        .unwrap();
    consumer.restart().await;
    consumer.step().await;
    assert_eq!(consumer.list.positions(), (1..=600).collect::<Vec<i64>>());
    assert!(consumer.parked().await.is_empty());
}

suites!([
    a_poison_event_parks_its_stream_and_nothing_else,
    two_poison_streams_in_one_batch_are_parked_both,
    a_crash_between_parking_and_the_checkpoint_parks_nothing_twice_and_nothing_too_much,
    a_retry_hands_the_stream_over_in_order_and_sets_it_free,
    a_discarded_event_is_skipped_for_good_and_the_rest_follows,
    the_last_of_a_stream_discarded_sets_it_free,
    a_stream_whose_turn_has_not_come_is_not_retried_before_it,
    what_is_parked_behind_an_event_that_is_being_discarded_follows_too,
    a_retry_that_was_broken_off_goes_on,
]);
