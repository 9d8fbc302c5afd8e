//! A consumer that dies by SIGKILL between any two of its steps: no effect is lost, none is had twice.

use eventstore::KafkaSettings;
use faults::ledger::Poison;
use faults::{At, Fault, Process};
use serde_json::json;

use super::LONG;
use super::log::{DISCARDED, EVENTS, Log, RETRIED, TOPICS};

/// Where it dies while everything is new to it.
const FOLLOWING: [&str; 5] = [
    "feed-read",
    "feed-parked",
    "ledger-written",
    "ledger-committed",
    "feed-handled",
];

/// Where it dies while it takes up what operators decided.
const RETRYING: [&str; 4] = [
    "ledger-written",
    "ledger-committed",
    "feed-retried",
    "feed-released",
];

fn start(log: &Log, consumer: &str, poison: &[i64], at: Option<&At>) -> Process {
    let kafka = |settings: &KafkaSettings| {
        json!({
            "brokers": settings.brokers,
            "topic_prefix": settings.topic_prefix,
            "topics": TOPICS,
        })
    };
    let told = json!({
        "url": log.database.url,
        "consumer": consumer,
        "kafka": log.settings.as_ref().map(kafka),
        "poison": poison,
        "at": at,
    });
    Process::start(env!("CARGO_BIN_EXE_faults"), "follower", &told)
}

/// Waits until it has reached the end of the log. False where it dies before.
async fn reaches_the_end(process: &mut Process) -> bool {
    while let Some(position) = process.told::<i64>().await {
        if position == EVENTS {
            return true;
        }
    }
    false
}

/// Has it die at a point, then lets another one go on to the end.
async fn dies(log: &Log, point: &str, occurrence: u64, retrying: bool) {
    let consumer = format!("{point}-{occurrence}-{retrying}");
    let poison = [RETRIED, DISCARDED];
    if retrying {
        assert!(reaches_the_end(&mut start(log, &consumer, &poison, None)).await);
        assert!(log.decide(&consumer).await);
    }
    let at = At {
        point: point.to_owned(),
        occurrence,
        fault: Fault::Kill,
    };
    let unmended: &[i64] = if retrying { &[] } else { &poison };
    let mut process = start(log, &consumer, unmended, Some(&at));
    let ended = process.ended(LONG).await;
    assert!(
        ended.code().is_none(),
        "{consumer}: it did not die of a signal"
    );

    if !retrying {
        assert!(reaches_the_end(&mut start(log, &consumer, &poison, None)).await);
        assert!(log.decide(&consumer).await, "{consumer}");
    }
    let mut follower = log.follow(&consumer, Poison::default()).await;
    while !log.is_done(&consumer).await {
        follower.runner.look_for_requests();
        let step = follower
            .runner
            .step(&mut *follower.feed, &mut follower.ledger);
        step.await.unwrap();
    }
    log.assert_exact(&consumer, &[DISCARDED]).await;
}

async fn at_every_point(kafka: bool, occurrences: u64) {
    let log = Log::new(kafka).await;
    let mut deaths = 0;
    for occurrence in 1..=occurrences {
        for point in FOLLOWING {
            dies(&log, point, occurrence, false).await;
            deaths += 1;
        }
        for point in RETRYING {
            dies(&log, point, occurrence, true).await;
            deaths += 1;
        }
    }
    println!("{deaths} deaths");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_log_a_consumer_dies_anywhere_and_loses_nothing() {
    at_every_point(false, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kafka_a_consumer_dies_anywhere_and_loses_nothing() {
    at_every_point(true, 1).await;
}
