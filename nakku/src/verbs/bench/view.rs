//! Replay into a trivial view, beside a binary scan of the same rows.

use std::collections::HashMap;
use std::time::Instant;

use async_trait::async_trait;
use eventstore::{
    Checkpoint, EventStore, HandleError, Handler, RecordedEvent, Runner, RunnerOptions, StoreFeed,
};
use futures::TryStreamExt;
use sqlx::PgPool;
use sqlx::postgres::PgPoolCopyExt;

use super::Bed;
use super::append::rate;
use super::baskets::{self, LineAdded};
use super::figure::{Bounds, Figure, Rate};
use crate::cli::ReplayBench;

const BOUNDS: Bounds = Bounds {
    floor: 0.35,
    goal: 0.5,
};

/// Of a rebuild: the page that is read while the one before is projected.
const PAGE_EVENTS: usize = 5_000;

/// What a replay reads of an event, all of it, by the fastest way out of the server.
const SCAN: &str = "copy (select position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version,
 payload, metadata, recorded_at from events order by position) to stdout (format binary)";

pub(super) async fn measure(bed: &Bed<'_>, options: &ReplayBench) -> anyhow::Result<Figure> {
    let (scratch, store) = bed.engine.log().await?;
    baskets::fill(&store, options.events).await?;
    // Neither side is to pay for what the first reader of a page does.
    sqlx::query("vacuum (analyze) events")
        .execute(&scratch.pool)
        .await?;
    let head = store.read_head().await?.position;
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let ours = replay(&store, head).await?;
        let limit = scan(&scratch.pool, head).await?;
        tracing::info!(
            number,
            ours = ours.round(),
            limit = limit.round(),
            "measured"
        );
        rounds.push((ours, limit));
    }
    store.close().await;
    scratch.pool.close().await;
    Ok(Figure::new(
        "replay into a trivial view",
        "events/s",
        "binary COPY",
        BOUNDS,
        rounds,
    ))
}

/// What read models do: a feed from the start, a runner, a handler that parses each event.
async fn replay(store: &EventStore, head: i64) -> anyhow::Result<Rate> {
    let began = Instant::now();
    let mut feed = StoreFeed::open(store, Checkpoint::START).await?;
    let options = RunnerOptions {
        batch_max: PAGE_EVENTS,
        ..RunnerOptions::default()
    };
    let mut runner = Runner::new(store.clone(), "bench", options);
    let mut view = View::default();
    while runner.position() < head {
        runner.step(&mut feed, &mut view).await?;
    }
    let elapsed = began.elapsed();
    anyhow::ensure!(
        i64::try_from(view.events) == Ok(head) && view.pieces >= view.events,
        "the view saw {} of {head} events",
        view.events
    );
    Ok(rate(view.events, elapsed))
}

/// The same columns of the same rows, their bytes merely counted.
async fn scan(pool: &PgPool, head: i64) -> anyhow::Result<Rate> {
    let began = Instant::now();
    let mut rows = pool.copy_out_raw(SCAN).await?;
    let mut bytes: usize = 0;
    while let Some(row) = rows.try_next().await? {
        bytes += row.len();
    }
    let elapsed = began.elapsed();
    anyhow::ensure!(bytes > 0, "the scan found nothing");
    Ok(rate(u64::try_from(head)?, elapsed))
}

/// Pieces by aggregate type, and how many events there were.
#[derive(Default)]
struct View {
    checkpoint: Checkpoint,
    events: u64,
    pieces: u64,
    lines: HashMap<String, u64>,
}

#[async_trait]
impl Handler for View {
    async fn checkpoint(&mut self) -> anyhow::Result<Checkpoint> {
        Ok(self.checkpoint)
    }

    async fn handle(
        &mut self,
        events: &[RecordedEvent],
        upto: &Checkpoint,
    ) -> Result<(), HandleError> {
        for event in events {
            let line: LineAdded = event.decode().map_err(|error| HandleError::Poison {
                position: event.position,
                error: error.to_string(),
            })?;
            self.events += 1;
            self.pieces += u64::from(line.quantity);
            match self.lines.get_mut(&event.event_type) {
                Some(lines) => *lines += 1,
                None => drop(self.lines.insert(event.event_type.clone(), 1)),
            }
        }
        self.checkpoint = *upto;
        Ok(())
    }
}
