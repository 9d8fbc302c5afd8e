//! What cannot be handled is parked with its stream; retries and discards.

use eventstore::Parks;
use eventstore::dead_letters::{self, DeadLetter};
use sqlx::PgPool;

use super::recorder::{NAME, Poison, Recorder, Running, until_handled};
use crate::feeds::Followed;
use crate::publishing::{LONG, deposits, expire_lease};
use crate::support::deposit;

struct Parking {
    followed: Followed,
    recorder: Recorder,
    running: Running,
}

impl Parking {
    async fn of(kafka: bool, poison: &[i64], how: Poison, accounts: &str) -> Self {
        Self::by(Recorder::default(), kafka, poison, how, accounts).await
    }

    async fn by(
        recorder: Recorder,
        kafka: bool,
        poison: &[i64],
        how: Poison,
        accounts: &str,
    ) -> Self {
        let followed = Followed::over(kafka).await;
        recorder.poison(poison.iter().copied(), how);
        let running = Running::start(&followed.source, &followed.store, &recorder);
        let parking = Self {
            followed,
            recorder,
            running,
        };
        parking.append(accounts).await;
        parking
    }

    fn pool(&self) -> &PgPool {
        &self.followed.database.pool
    }

    /// Appends one event each to the accounts named, in order, and waits until all are handled or parked.
    async fn append(&self, accounts: &str) {
        for account in accounts.chars() {
            deposit(&self.followed.store, &account.to_string(), 1)
                .await
                .unwrap();
        }
        let head = self.followed.store.read_head().await.unwrap().position;
        until_handled(self.pool(), head).await;
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        dead_letters::list(self.pool(), Some(NAME), None, 100)
            .await
            .unwrap()
    }

    /// What is parked: position, attempts, and how many wait behind.
    async fn parked(&self) -> Vec<(i64, i32, i64)> {
        let letters = self.letters().await;
        let shown = letters
            .iter()
            .map(|letter| (letter.position, letter.attempts, letter.blocked));
        shown.collect()
    }

    async fn until_parked(&self, expected: &[(i64, i32, i64)]) {
        let what = format!("{expected:?} are parked");
        testing::until(&what, LONG, async || self.parked().await == expected).await;
    }

    async fn retry(&self) {
        let letter = self.letters().await.remove(0);
        dead_letters::request_retry(self.pool(), letter.id, "anna")
            .await
            .unwrap();
    }

    /// As after a crash.
    async fn restart(self) -> Self {
        let Self {
            followed,
            recorder,
            running,
        } = self;
        running.kill().await;
        expire_lease(&followed.database.pool, "reactor-recorder").await;
        let running = Running::start(&followed.source, &followed.store, &recorder);
        Self {
            followed,
            recorder,
            running,
        }
    }
}

async fn a_poison_event_parks_its_stream_and_nothing_else(kafka: bool) {
    let parking = Parking::of(kafka, &[3], Poison::Refused, "ababab").await;
    assert_eq!(parking.parked().await, [(3, 1, 1)]);
    let parking = parking.restart().await;
    parking.append("ab").await;
    assert_eq!(parking.parked().await, [(3, 1, 2)]);
    let seen = parking.recorder.seen();
    assert_eq!((&*seen["a"], &*seen["b"]), (&[1][..], &[1, 2, 3, 4][..]));
    let letter = parking.letters().await.remove(0);
    assert_eq!(letter.error.as_deref(), Some("no such colour"));
    parking.running.stop().await.unwrap();
}

async fn what_panics_is_parked(kafka: bool) {
    let parking = Parking::of(kafka, &[1], Poison::Panics, "ab").await;
    let letter = parking.letters().await.remove(0);
    assert_eq!(letter.error.as_deref(), Some("it panicked: no such colour"));
    parking.running.stop().await.unwrap();
}

async fn a_retry_handles_the_stream_in_order_and_sets_it_free(kafka: bool) {
    let parking = Parking::of(kafka, &[1], Poison::Refused, "abaa").await;
    parking.retry().await;
    parking.until_parked(&[(1, 2, 2)]).await;
    // Mended; but a later one of the stream fails now.
    parking.recorder.poison([4], Poison::Refused);
    parking.retry().await;
    parking.until_parked(&[(4, 1, 0)]).await;
    parking.append("a").await;
    parking.recorder.poison([], Poison::Refused);
    let parking = parking.restart().await;
    parking.retry().await;
    parking.until_parked(&[]).await;
    parking.append("ab").await;
    let seen = parking.recorder.seen();
    assert_eq!(
        (&*seen["a"], &*seen["b"]),
        (&[1, 2, 3, 4, 5][..], &[1, 2][..])
    );
    parking.running.stop().await.unwrap();
}

async fn a_long_parked_stream_is_retried_while_it_grows(kafka: bool) {
    let parking = Parking::of(kafka, &[1], Poison::Refused, "a").await;
    deposits(&parking.followed.store, "a", 300).await;
    until_handled(parking.pool(), 301).await;
    parking.until_parked(&[(1, 1, 300)]).await;
    parking.recorder.poison([], Poison::Refused);
    parking.retry().await;
    for _ in 0..40 {
        deposit(&parking.followed.store, "a", 1).await.unwrap();
    }
    until_handled(parking.pool(), 341).await;
    parking.until_parked(&[]).await;
    assert_eq!(
        parking.recorder.seen()["a"],
        (1..=341).collect::<Vec<i64>>()
    );
    parking.running.stop().await.unwrap();
}

async fn a_discarded_event_is_skipped_and_the_rest_follows(kafka: bool) {
    let parking = Parking::of(kafka, &[2], Poison::Refused, "aaaa").await;
    let letter = parking.letters().await.remove(0);
    dead_letters::discard(parking.pool(), letter.id, "anna", "a test order")
        .await
        .unwrap();
    parking.until_parked(&[]).await;
    assert_eq!(parking.recorder.seen()["a"], [1, 3, 4]);
    // Also where it comes again.
    eventstore::Reactions::reset(parking.pool(), NAME, 0)
        .await
        .unwrap();
    parking.recorder.until_seen(6).await;
    parking.append("b").await;
    assert_eq!(parking.recorder.seen()["a"], [1, 3, 4, 1, 3, 4]);
    parking.running.stop().await.unwrap();
}

async fn with_too_many_parked_it_halts_until_there_are_fewer(kafka: bool) {
    let recorder = Recorder::parking(Parks::Streams { max: 2 });
    let parking = Parking::by(recorder, kafka, &[1, 2, 3], Poison::Refused, "abc").await;
    parking
        .until_parked(&[(1, 1, 0), (2, 1, 0), (3, 1, 0)])
        .await;
    deposit(&parking.followed.store, "d", 1).await.unwrap();
    // What is asked for it does, and nothing else; also where it begins again.
    parking.retry().await;
    parking
        .until_parked(&[(1, 2, 0), (2, 1, 0), (3, 1, 0)])
        .await;
    let parking = parking.restart().await;
    parking.retry().await;
    parking
        .until_parked(&[(1, 3, 0), (2, 1, 0), (3, 1, 0)])
        .await;
    assert_eq!(parking.recorder.count(), 0);
    parking.recorder.poison([], Poison::Refused);
    parking.retry().await;
    until_handled(parking.pool(), 4).await;
    parking.until_parked(&[(2, 1, 0), (3, 1, 0)]).await;
    let seen = parking.recorder.seen();
    assert_eq!((&*seen["a"], &*seen["d"]), (&[1][..], &[1][..]));
    parking.running.stop().await.unwrap();
}

async fn what_is_parked_alone_holds_up_nothing(kafka: bool) {
    let recorder = Recorder::parking(Parks::Events);
    let parking = Parking::by(recorder, kafka, &[1, 3], Poison::Refused, "aabab").await;
    assert_eq!(parking.parked().await, [(1, 1, 0), (3, 1, 0)]);
    let parking = parking.restart().await;
    parking.append("ab").await;
    assert_eq!(parking.parked().await, [(1, 1, 0), (3, 1, 0)]);
    let seen = parking.recorder.seen();
    assert_eq!((&*seen["a"], &*seen["b"]), (&[2, 3, 4][..], &[2, 3][..]));
    // A retry that fails leaves it parked, one that does not sets it free, each by itself.
    parking.retry().await;
    parking.until_parked(&[(1, 2, 0), (3, 1, 0)]).await;
    parking.recorder.poison([], Poison::Refused);
    parking.retry().await;
    parking.until_parked(&[(3, 1, 0)]).await;
    parking.retry().await;
    parking.until_parked(&[]).await;
    let seen = parking.recorder.seen();
    assert_eq!(
        (&*seen["a"], &*seen["b"]),
        (&[2, 3, 4, 1][..], &[2, 3, 1][..])
    );
    parking.running.stop().await.unwrap();
}

suites!([
    a_poison_event_parks_its_stream_and_nothing_else,
    what_panics_is_parked,
    a_retry_handles_the_stream_in_order_and_sets_it_free,
    a_long_parked_stream_is_retried_while_it_grows,
    a_discarded_event_is_skipped_and_the_rest_follows,
    with_too_many_parked_it_halts_until_there_are_fewer,
    what_is_parked_alone_holds_up_nothing,
]);
