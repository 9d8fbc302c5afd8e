//! Whether a log that grows stays as fast as it began: from empty and unanalysed, with a snapshot held open throughout.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sqlx::PgPool;

use super::Bed;
use super::append::{all_ended, fill_basket, rate, start};
use super::figure::{Bounds, Figure};

const CLIENTS: usize = 64;

/// The first and the last tenth are compared.
const PARTS: u64 = 10;

/// What the machine itself may differ by between the beginning and the end of one run.
const BOUNDS: Bounds = Bounds {
    floor: 0.8,
    goal: 0.95,
};

pub(super) async fn measure(bed: &Bed<'_>, events: u64) -> anyhow::Result<Figure> {
    let (scratch, store) = bed.engine.log().await?;
    // Statistics would come of themselves, and hide a plan that was made on an empty table.
    sqlx::query("alter table events set (autovacuum_enabled = off)")
        .execute(&scratch.pool)
        .await?;
    let snapshot = hold_snapshot(&scratch.pool).await?;
    let marks = Arc::new(Marks::new(events));
    let clients = (0..CLIENTS).map(|_| {
        let (store, marks) = (store.clone(), Arc::clone(&marks));
        start(async move {
            while marks.go_on() {
                fill_basket(&store, || marks.done()).await?;
            }
            Ok(())
        })
    });
    all_ended(clients.collect()).await?;
    snapshot.rollback().await?;
    store.close().await;
    scratch.pool.close().await;
    let (first, last) = marks.rates();
    Ok(Figure::new(
        format!("append, last of {events} events, snapshot held"),
        "commands/s",
        "the first tenth",
        BOUNDS,
        vec![(last, first)],
    ))
}

/// As `pg_dump` holds one: what is deleted or replaced meanwhile stays in everybody's way.
async fn hold_snapshot(pool: &PgPool) -> sqlx::Result<sqlx::PgTransaction<'static>> {
    let mut transaction = pool.begin().await?;
    sqlx::query("set transaction isolation level repeatable read")
        .execute(&mut *transaction)
        .await?;
    sqlx::query("select from events limit 1")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

/// When which part of the events was appended.
struct Marks {
    events: u64,
    done: AtomicU64,
    began: Instant,
    /// At the end of the first part, at the beginning of the last one, and at its end.
    at: Mutex<[Option<Instant>; 3]>,
}

impl Marks {
    fn new(events: u64) -> Self {
        Self {
            events,
            done: AtomicU64::new(0),
            began: Instant::now(),
            at: Mutex::default(),
        }
    }

    fn part(&self) -> u64 {
        self.events / PARTS
    }

    fn go_on(&self) -> bool {
        self.done.load(Ordering::Relaxed) < self.events
    }

    /// Counts an event. False once there are enough.
    fn done(&self) -> bool {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let marks = [self.part(), self.events - self.part(), self.events];
        if let Some(index) = marks.iter().position(|mark| *mark == done) {
            self.at.lock().expect("no panic while held")[index] = Some(Instant::now());
        }
        done < self.events
    }

    /// Events a second in the first part, and in the last one.
    fn rates(&self) -> (f64, f64) {
        let at = self.at.lock().expect("no panic while held");
        let [first_end, last_begin, last_end] = at.map(|at| at.unwrap_or(self.began));
        (
            rate(self.part(), first_end.duration_since(self.began)),
            rate(self.part(), last_end.duration_since(last_begin)),
        )
    }
}
