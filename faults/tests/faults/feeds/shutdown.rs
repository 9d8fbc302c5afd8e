//! Shutdown between any two steps: wherever following is broken off, what comes after ends in the exact state.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use eventstore::RunError;
use faults::ledger::Poison;
use tokio_util::sync::CancellationToken;

use super::LONG;
use super::log::{DISCARDED, Follower, Log, RETRIED};

/// So many at a time are broken off, each a consumer of its own over the same log.
const AT_ONCE: usize = 8;

/// Following the whole log, with a retry and a discard, waits far less often.
const WAITS_MAX: usize = 2_000;

/// How following ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As by a crash: nothing of it is left, and another one goes on.
    Dropped,
    /// The step is given up, and the same runner goes on over the same feed.
    Resumed,
    /// The runner is told to stop, and does so in its own time; another one goes on.
    Stopped,
}

/// Polls a future until it has waited so often. None then: it is dropped where it waits.
async fn interrupt<F: Future>(future: F, waits: &mut usize) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if *waits == 0 => Poll::Ready(None),
        Poll::Pending => {
            *waits -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Follows to the end and breaks off once, at the `nth` wait. False where there are fewer.
async fn follow(log: &Log, nth: usize, end: End) -> bool {
    let consumer = format!("{end:?}-{nth}");
    let poison = Poison::at([RETRIED, DISCARDED]);
    let mut follower = log.follow(&consumer, poison.clone()).await;
    let mut waits = nth;
    let mut interrupted = false;
    let mut decided = false;
    let deadline = Instant::now() + LONG;
    while !log.is_done(&consumer).await || !decided {
        if Instant::now() > deadline {
            log.print(&consumer).await;
            panic!("{consumer} does not come to an end");
        }
        // Every other time the operator is there at once, even before the checkpoint passes what is parked.
        let behind = follower.runner.position() < super::log::EVENTS;
        if !decided && (nth % 2 == 1 || !behind) && log.decide(&consumer).await {
            decided = true;
            poison.mend();
        }
        if interrupted {
            let step = step(log, &consumer, &mut follower).await;
            if step.is_err() {
                follower = log.follow(&consumer, poison.clone()).await;
            }
            continue;
        }
        interrupted = match end {
            End::Dropped | End::Resumed => {
                follower.runner.look_for_requests();
                let step = follower
                    .runner
                    .step(&mut *follower.feed, &mut follower.ledger);
                interrupt(step, &mut waits)
                    .await
                    .map(Result::unwrap)
                    .is_none()
            }
            End::Stopped => stop(&mut follower, &mut waits).await,
        };
        if interrupted && end != End::Resumed {
            follower = log.follow(&consumer, poison.clone()).await;
        }
    }
    log.assert_exact(&consumer, &[DISCARDED]).await;
    interrupted
}

/// One step, or as much of it as is needed. What was broken off may still be committing when the next one begins: who comes
/// second is fenced, and begins anew.
async fn step(log: &Log, consumer: &str, follower: &mut Follower) -> Result<(), ()> {
    follower.runner.look_for_requests();
    let done = async {
        while !log.is_done(consumer).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        step = follower.runner.step(&mut *follower.feed, &mut follower.ledger) => match step {
            Ok(_) => Ok(()),
            Err(RunError::Fenced(_)) => Err(()),
            Err(error) => panic!("{consumer}: {error}"),
        },
        () = done => Ok(()),
    }
}

/// Runs and is told to stop at a wait; or, where there is nothing to do but wait, after that.
async fn stop(follower: &mut Follower, waits: &mut usize) -> bool {
    const IDLE: Duration = Duration::from_millis(600);
    follower.runner.look_for_requests();
    let stop = CancellationToken::new();
    let mut running = pin!(follower.runner.run(
        &mut *follower.feed,
        &mut follower.ledger,
        stop.clone()
    ));
    let counted = tokio::time::timeout(IDLE, interrupt(running.as_mut(), waits)).await;
    stop.cancel();
    let interrupted = matches!(counted, Ok(None));
    if !matches!(counted, Ok(Some(_))) {
        running.await.unwrap();
    }
    interrupted
}

async fn wherever_it_is_broken_off_it_ends_exact(kafka: bool, every: usize) {
    let log = Arc::new(Log::new(kafka).await);
    let began = Instant::now();
    for end in [End::Dropped, End::Resumed, End::Stopped] {
        let mut waits = Vec::new();
        // Waits that follow each other closely, and then in strides: the further in, the more of the same.
        for first in (0..WAITS_MAX).step_by(AT_ONCE * every) {
            let rounds: Vec<_> = (0..AT_ONCE)
                .map(|index| first + index * every)
                .map(|nth| {
                    let log = Arc::clone(&log);
                    tokio::spawn(async move { follow(&log, nth, end).await })
                })
                .collect();
            for round in rounds {
                waits.push(round.await.unwrap());
            }
            if waits.ends_with(&[false]) {
                break;
            }
        }
        let interrupted = waits.iter().filter(|interrupted| **interrupted).count();
        println!(
            "{end:?}: broken off at {interrupted} waits, {:?}",
            began.elapsed()
        );
        assert!(
            interrupted > 10,
            "{end:?}: it was broken off {interrupted} times"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_the_log_following_may_be_broken_off_anywhere() {
    wherever_it_is_broken_off_it_ends_exact(false, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_kafka_following_may_be_broken_off_anywhere() {
    wherever_it_is_broken_off_it_ends_exact(true, 3).await;
}
