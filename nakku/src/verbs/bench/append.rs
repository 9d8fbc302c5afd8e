//! Durable commands a second: decided, version-checked, with a command id, on streams of the client's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use eventstore::{CommandContext, CommandId, EventStore, Stream};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::Bed;
use super::baskets::{Basket, LINES, line};
use super::figure::{Bounds, Figure, Rate};
use super::peer::Peer;
use super::pgbench::Pgbench;
use crate::cli::AppendBench;

/// Clients, and what is asked for beside pgbench with as many.
const CLIENTS: [(usize, Bounds); 4] = [
    (1, bounds(0.5, 0.85)),
    (8, bounds(0.7, 1.2)),
    (32, bounds(1.3, 2.2)),
    (64, bounds(2.0, 4.0)),
];

/// Commands in flight of one process at its fullest, beside pgbench at its own.
const IN_FLIGHT: usize = 1_024;
const IN_FLIGHT_BOUNDS: Bounds = bounds(2.5, 8.0);
const PGBENCH_FULLEST: usize = 64;

const PEER_CLIENTS: usize = 32;
const PEER_BOUNDS: Bounds = bounds(4.0, 10.0);

/// How long the answer of a command without events is kept.
const EXPIRES_AFTER: Duration = Duration::from_secs(7 * 86_400);

const UNIT: &str = "commands/s";

const fn bounds(floor: f64, goal: f64) -> Bounds {
    Bounds { floor, goal }
}

/// What the sides did in one round.
#[derive(Default)]
struct Round {
    /// Ours and pgbench's, in the order of `CLIENTS`.
    clients: Vec<(Rate, Rate)>,
    in_flight: Rate,
    /// Ours and the peer's, one after the other.
    peer: (Rate, Rate),
}

pub(super) async fn measure(bed: &Bed<'_>, options: &AppendBench) -> anyhow::Result<Vec<Figure>> {
    let (scratch, store) = bed.engine.log().await?;
    let pgbench = Pgbench::prepare(&scratch, bed.engine.directory()).await?;
    let peer = Peer::prepare(bed.engine, PEER_CLIENTS).await?;
    let duration = Duration::from_secs_f64(options.seconds);
    let mut rounds = Vec::new();
    for number in 1..=options.rounds {
        let mut round = Round::default();
        for (clients, _) in CLIENTS {
            let ours = commands_per_second(&store, clients, duration).await?;
            let limit = pgbench.inserts_per_second(clients, options.seconds).await?;
            tracing::info!(
                number,
                clients,
                ours = ours.round(),
                limit = limit.round(),
                "measured"
            );
            round.clients.push((ours, limit));
        }
        round.in_flight = commands_per_second(&store, IN_FLIGHT, duration).await?;
        let ours = commands_per_second(&store, PEER_CLIENTS, duration).await?;
        let theirs = peer.commands_per_second(PEER_CLIENTS, duration).await?;
        tracing::info!(
            number,
            in_flight = round.in_flight.round(),
            ours = ours.round(),
            theirs = theirs.round(),
            "measured"
        );
        round.peer = (ours, theirs);
        rounds.push(round);
    }
    store.close().await;
    peer.close().await;
    scratch.pool.close().await;
    Ok(figures(&rounds))
}

fn figures(rounds: &[Round]) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (index, (clients, bounds)) in CLIENTS.into_iter().enumerate() {
        let noun = if clients == 1 { "client" } else { "clients" };
        let both = rounds.iter().map(|round| round.clients[index]).collect();
        let measured = format!("append, {clients} {noun}");
        figures.push(Figure::new(
            measured,
            UNIT,
            format!("pgbench, {clients}"),
            bounds,
            both,
        ));
    }
    let fullest = CLIENTS
        .iter()
        .position(|(clients, _)| *clients == PGBENCH_FULLEST);
    if let Some(fullest) = fullest {
        let both = rounds
            .iter()
            .map(|round| (round.in_flight, round.clients[fullest].1))
            .collect();
        let (measured, beside) = (
            format!("append, {IN_FLIGHT} in flight"),
            format!("pgbench, {PGBENCH_FULLEST}"),
        );
        figures.push(Figure::new(measured, UNIT, beside, IN_FLIGHT_BOUNDS, both));
    }
    let both = rounds.iter().map(|round| round.peer).collect();
    let (measured, beside) = (
        format!("append, {PEER_CLIENTS} clients"),
        format!("postgres-es, {PEER_CLIENTS}"),
    );
    figures.push(Figure::new(measured, UNIT, beside, PEER_BOUNDS, both));
    figures
}

/// So many clients, each with one command under way at a time.
async fn commands_per_second(
    store: &EventStore,
    clients: usize,
    duration: Duration,
) -> anyhow::Result<Rate> {
    let done = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let clients = (0..clients).map(|_| {
        let (store, done) = (store.clone(), Arc::clone(&done));
        start(async move {
            while began.elapsed() < duration {
                fill_basket(&store, || {
                    done.fetch_add(1, Ordering::Relaxed);
                    began.elapsed() < duration
                })
                .await?;
            }
            Ok(())
        })
    });
    all_ended(clients.collect()).await?;
    Ok(rate(done.load(Ordering::Relaxed), began.elapsed()))
}

/// A basket of ten lines, each a command with an id of its own, as long as `go_on` says so.
pub(super) async fn fill_basket(
    store: &EventStore,
    mut go_on: impl FnMut() -> bool,
) -> anyhow::Result<()> {
    let basket = Uuid::now_v7();
    let id = basket.to_string();
    let line = line(&id);
    for number in 0..LINES {
        let stream = if number == 0 {
            Stream::<Basket>::beginning(id.as_str())
        } else {
            Stream::<Basket>::new(id.as_str())
        };
        let context = CommandContext {
            command: Some(CommandId {
                id: Uuid::now_v7(),
                fingerprint: basket.as_bytes().to_vec(),
                expires_after: Some(EXPIRES_AFTER),
                wait_if_in_flight: false,
            }),
            correlation_id: Some(id.clone()),
            ..CommandContext::new("add-line")
        };
        let line = line.clone();
        store
            .execute(stream, context, move |basket: &Basket| {
                basket.add(line.clone())
            })
            .await
            .context("a command on a quiet stream failed")?;
        if !go_on() {
            break;
        }
    }
    Ok(())
}

/// Starts a client in a task of its own, which ends with whoever waits for it.
pub(super) fn start(
    client: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> AbortOnDropHandle<anyhow::Result<()>> {
    AbortOnDropHandle::new(tokio::spawn(client))
}

/// Until all clients have ended, or one has failed.
pub(super) async fn all_ended(
    clients: Vec<AbortOnDropHandle<anyhow::Result<()>>>,
) -> anyhow::Result<()> {
    for client in clients {
        client.await??;
    }
    Ok(())
}

// Counts are far below 2^53: exact as floats.
#[expect(clippy::cast_precision_loss)]
pub(super) fn rate(count: u64, elapsed: Duration) -> Rate {
    count as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}
