//! The writer as a process: an event store of its own, and a few tasks that command it.

mod requests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eventstore::{CommandContext, CommandId, EventStore, ExecuteError, OpenError, Stream};
use faults::accounts::{Account, Refusal, open};
use faults::history::{Answer, Invoked, Line, now};
use faults::{At, Child};
use serde::Deserialize;
use sqlx::PgPool;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::requests::{Request, Requests};

/// Between tries to open the log, while the server may be away.
const OPEN_RETRY: Duration = Duration::from_millis(50);

/// What it is told.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Told {
    /// The database.
    url: String,
    /// Number of the first of its writers, through all processes.
    first_writer: u32,
    /// How many writers it has.
    writers: u32,
    /// Of this process: what its writers draw from.
    seed: u64,
    /// Of all processes: what the requests are drawn from that several of them make at once.
    common_seed: u64,
    /// At which point it freezes or kills itself.
    at: Option<At>,
    /// Plants a bug: states that were never committed are decided on.
    keeps_uncommitted_states: bool,
}

pub(crate) async fn run(told: Told) -> anyhow::Result<()> {
    if told.keeps_uncommitted_states {
        fail::cfg("planted-uncommitted-states", "return").map_err(anyhow::Error::msg)?;
    }
    let pool = PgPool::connect_lazy(&told.url)?;
    let stop = stopped_by_signal()?;
    let store = loop {
        match open(pool.clone()).await {
            Ok(store) => break store,
            Err(OpenError::Database(_)) if !stop.is_cancelled() => {
                tokio::time::sleep(OPEN_RETRY).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(at) = told.at.clone() {
        at.arm();
    }
    Child::tell(&Line::Ready);
    let calls = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..told.writers)
        .map(|index| {
            let writer = Writer {
                number: told.first_writer + index,
                store: store.clone(),
                calls: calls.clone(),
            };
            let requests = Requests::new(told.seed, told.common_seed, told.first_writer, index);
            tokio::spawn(writer.run(requests, stop.clone()))
        })
        .collect();
    for writer in writers {
        writer.await?;
    }
    store.close().await;
    Ok(())
}

/// Fires at SIGTERM: no more calls are begun.
fn stopped_by_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            terminate.recv().await;
            stop.cancel();
        }
    });
    Ok(stop)
}

struct Writer {
    number: u32,
    store: EventStore,
    calls: Arc<AtomicU64>,
}

impl Writer {
    async fn run(self, mut requests: Requests, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let request = requests.next(now());
            tokio::time::sleep(request.pause).await;
            let mut answer = self.call(&request).await;
            let mut resends = request.resends;
            while resends > 0 && matches!(answer, Answer::Unknown | Answer::NotDone) {
                resends -= 1;
                answer = self.call(&request).await;
            }
            requests.learn(&request, &answer);
        }
    }

    async fn call(&self, request: &Request) -> Answer {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let context = CommandContext {
            command: request.is_command_id.then(|| CommandId {
                id: request.id,
                fingerprint: request.id.as_bytes().to_vec(),
                expires_after: None,
                wait_if_in_flight: request.waits_if_in_flight,
            }),
            expected_version: request.expected,
            deadline: Instant::now() + request.patience,
            ..CommandContext::new("ask")
        };
        let streams: Vec<Stream<Account>> = request
            .asked
            .accounts()
            .into_iter()
            .map(Stream::new)
            .collect();
        let (asked, id) = (request.asked.clone(), request.id);
        Child::tell(&Line::Invoked(Invoked {
            call,
            writer: self.number,
            request: request.id,
            is_command_id: request.is_command_id,
            asked: request.asked.clone(),
            expected: request.expected,
            at: now(),
        }));
        let outcome = self
            .store
            .execute(streams, context, move |states: Vec<&Account>| {
                match asked.refusal(&states) {
                    Some(refusal) => Err(refusal),
                    None => Ok(asked.events(id)),
                }
            })
            .await;
        let at = now();
        let answer = answer(outcome);
        Child::tell(&Line::Answered {
            call,
            at,
            answer: answer.clone(),
        });
        answer
    }
}

fn answer(outcome: Result<eventstore::Executed, ExecuteError<Refusal>>) -> Answer {
    match outcome {
        Ok(executed) => Answer::Done {
            position: executed.position,
            version: executed.version,
            events: executed.events,
            replayed: executed.replayed,
        },
        Err(ExecuteError::Refused { error, replayed }) => Answer::Refused {
            refusal: error,
            replayed,
        },
        Err(ExecuteError::VersionMismatch {
            expected,
            actual,
            replayed,
        }) => Answer::Mismatch {
            expected,
            actual,
            replayed,
        },
        Err(ExecuteError::Overloaded | ExecuteError::InFlight) => Answer::NotDone,
        Err(ExecuteError::OutcomeUnknown) => Answer::Unknown,
        Err(
            error @ (ExecuteError::KeyReused
            | ExecuteError::Invalid(_)
            | ExecuteError::Corrupt(_)
            | ExecuteError::Closed),
        ) => Answer::Strange(error.to_string()),
    }
}
