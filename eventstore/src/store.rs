//! The event store of one log.

mod housekeeping;
mod states;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use cqrs_es::persist::EventUpcaster;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgPool;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub use self::housekeeping::{check_keys, check_schema};
use self::housekeeping::{poll_head, purge_outcomes};
pub use self::states::StatesError;
use crate::checkpoint::Checkpoint;
use crate::command::{CommandContext, CommandId, Decided, ExecuteError, Executed};
use crate::committer::{Claim, Committer, Decision, InFlight, Registry, Reply, Request};
use crate::event::{COLUMNS, RecordedEvent, Upcasters};
use crate::log;
use crate::sealing::{Keys, Sealer};
use crate::state::StateCache;
use crate::stream::{ErasedState, StreamReference, StreamSet};

/// Commands that may wait for the committer. One more is refused at once: a longer queue would only make
/// all of them late.
const QUEUE_MAX: usize = 8_192;

/// Reads at a time of what handling an event needs: states, keys, streams, dead letters. Reactors ask hundreds at once; leases
/// are renewed over the same connections, and must not wait behind them.
const READERS_MAX: usize = 4;

/// Ids of streams: what a URL, a Kafka key and a log line can carry.
const STREAM_ID_BYTES_MAX: usize = 200;

/// What an [`EventStore`] is made of.
pub struct Options {
    pub keys: Keys,
    /// Bring events of older versions to the present shape.
    pub upcasters: Vec<Box<dyn EventUpcaster>>,
    /// Aggregate types whose long streams get snapshots, each with the shape of its state.
    pub snapshot_shapes: HashMap<&'static str, &'static str>,
}

/// Why a store cannot be opened. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database has no schema of this version: run `nakku migrate`")]
    SchemaOutdated,
    #[error("the database was written by a newer version of nakku (migration {0})")]
    SchemaNewer(i64),
    #[error("the keys file is not the one that this database was written with")]
    OtherKeys,
    #[error("the database cannot be read")]
    Database(#[from] sqlx::Error),
}

/// Appends what commands decide, loads streams, and knows the head of the log. Cheap to clone.
#[derive(Clone)]
pub struct EventStore {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    queue: std::sync::Mutex<Option<mpsc::Sender<Request>>>,
    committer: std::sync::Mutex<Option<JoinHandle<()>>>,
    in_flight: Registry,
    head: Arc<watch::Sender<i64>>,
    cache: Arc<StateCache>,
    readers: Arc<Semaphore>,
    upcasters: Upcasters,
    sealer: Sealer,
    _background: DropGuard,
}

impl EventStore {
    /// Opens the log of this database. Checks the schema's version and the keys file first.
    pub async fn open(pool: PgPool, options: Options) -> Result<Self, OpenError> {
        check_schema(&pool).await?;
        check_keys(&pool, &options.keys).await?;
        let head = Arc::new(watch::Sender::new(log::head(&pool).await?.position));
        let upcasters = Upcasters::new(options.upcasters);
        let cache = StateCache::new(upcasters.clone(), options.snapshot_shapes, pool.clone());
        let cache = Arc::new(cache);
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let committer = Committer::new(&pool, &cache, &head);
        let readers = Arc::new(Semaphore::new(READERS_MAX));
        let background = CancellationToken::new();
        tokio::spawn(
            background
                .clone()
                .run_until_cancelled_owned(poll_head(pool.clone(), head.clone())),
        );
        tokio::spawn(
            background
                .clone()
                .run_until_cancelled_owned(purge_outcomes(pool.clone())),
        );
        Ok(Self {
            inner: Arc::new(Inner {
                sealer: Sealer::new(options.keys, pool.clone(), Arc::clone(&readers)),
                readers,
                pool,
                queue: std::sync::Mutex::new(Some(sender)),
                committer: std::sync::Mutex::new(Some(tokio::spawn(committer.run(queue)))),
                in_flight: Registry::default(),
                head,
                cache,
                upcasters,
                _background: background.drop_guard(),
            }),
        })
    }

    /// Decides a command on the states of its streams and appends what it yields, all or nothing.
    ///
    /// The decision is pure and quick: it runs inside the batch and may be taken again on newer states.
    /// What is returned, a refusal included, rests on states that the store has confirmed under its lock,
    /// and is durable. Dropping the future does not take the command back.
    pub async fn execute<S, D, E>(
        &self,
        streams: S,
        context: CommandContext,
        decide: impl for<'a> Fn(S::States<'a>) -> Result<D, E> + Send + Sync + 'static,
    ) -> Result<Executed, ExecuteError<E>>
    where
        S: StreamSet,
        D: Into<Decided<S::Events>>,
        E: Serialize + DeserializeOwned,
    {
        let began = Instant::now();
        let mut references = Vec::new();
        streams.references(&mut references);
        let (aggregate, command) = (references[0].key.aggregate_type, context.name);
        let outcome = self
            .queue_and_wait(references, context, erase(streams, decide))
            .await;
        let labels = [("aggregate", aggregate), ("command", command)];
        metrics::histogram!("nakku_command_duration_seconds", &labels)
            .record(began.elapsed().as_secs_f64());
        metrics::counter!("nakku_commands_total", "aggregate" => aggregate, "command" => command,
            "outcome" => outcome_name(&outcome))
        .increment(1);
        outcome
    }

    async fn queue_and_wait<E: DeserializeOwned>(
        &self,
        streams: Vec<StreamReference>,
        context: CommandContext,
        decide: crate::committer::Decide,
    ) -> Result<Executed, ExecuteError<E>> {
        for stream in &streams {
            check_stream_id(&stream.key.aggregate_id).map_err(ExecuteError::Invalid)?;
        }
        let in_flight = self.enter(&context).await?;
        let queue = self
            .inner
            .queue
            .lock()
            .expect("no panic while held")
            .clone();
        let queue = queue.ok_or(ExecuteError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let claim = Claim::default();
        let deadline = context.deadline;
        queue
            .try_send(Request {
                streams,
                decide,
                context,
                reply,
                claim: claim.clone(),
                in_flight,
                conflicts: 0,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ExecuteError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => ExecuteError::Closed,
            })?;
        drop(queue);
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(reply)) => translate(reply),
            Ok(Err(_)) => Err(ExecuteError::Closed),
            Err(_) if claim.give_up() => Err(ExecuteError::Overloaded),
            Err(_) => Err(ExecuteError::OutcomeUnknown),
        }
    }

    async fn enter<E>(
        &self,
        context: &CommandContext,
    ) -> Result<Option<InFlight>, ExecuteError<E>> {
        let Some(command) = &context.command else {
            return Ok(None);
        };
        loop {
            match self.inner.in_flight.enter(command.id) {
                Ok(in_flight) => return Ok(Some(in_flight)),
                Err(_) if !command.wait_if_in_flight => return Err(ExecuteError::InFlight),
                Err(done) => tokio::time::timeout_at(context.deadline, done.cancelled())
                    .await
                    .map_err(|_| ExecuteError::Overloaded)?,
            }
        }
    }

    /// Up to `limit` events of a stream after a version, in order, as stored.
    pub async fn stream_events(
        &self,
        aggregate_type: &str,
        id: &str,
        after_version: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<RecordedEvent>> {
        let _turn = self.turn().await;
        sqlx::query(&format!(
            "select {COLUMNS} from events
             where aggregate_type = $1 and aggregate_id = $2 and sequence > $3
             order by sequence limit $4"
        ))
        .bind(aggregate_type)
        .bind(id)
        .bind(after_version)
        .bind(limit)
        .try_map(|row| RecordedEvent::from_row(&row))
        .fetch_all(&self.inner.pool)
        .await
    }

    /// Waits for a turn at the pool, and has it until it is dropped.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed: without a turn it would go on all the same.
        self.inner.readers.acquire().await.ok()
    }

    /// Up to `limit` events after a position, in order, as stored.
    pub async fn read_after(&self, position: i64, limit: i64) -> sqlx::Result<Vec<RecordedEvent>> {
        log::read_after(&self.inner.pool, position, limit).await
    }

    /// The newest position and the event at it, read now.
    pub async fn read_head(&self) -> sqlx::Result<Checkpoint> {
        log::head(&self.inner.pool).await
    }

    /// The newest position known: at once for appends of this process, within milliseconds for others'.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.inner.head.subscribe()
    }

    /// The event in its present shape.
    pub fn upcast(&self, event: RecordedEvent) -> RecordedEvent {
        self.inner.upcasters.upcast(event)
    }

    /// Connections for queries. Appending has one of its own.
    pub fn pool(&self) -> &PgPool {
        &self.inner.pool
    }

    /// Seals and opens personal fields.
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// The context of a command that the program gives itself, as on seeding or in answer to an event: the same `scope` and
    /// `id` happen once, however often they are asked for, even if what is asked for differs.
    #[must_use]
    pub fn derived_context(&self, name: &'static str, scope: &str, id: &str) -> CommandContext {
        let parts = [b"derived", scope.as_bytes(), id.as_bytes()];
        let digest = self.sealer().fingerprint(&parts);
        CommandContext {
            command: Some(CommandId {
                id: Uuid::from_slice(&digest[..16]).expect("16 bytes are a UUID"),
                fingerprint: digest,
                expires_after: None,
                wait_if_in_flight: true,
            }),
            ..CommandContext::new(name)
        }
    }

    /// Takes no more commands, and returns when those under way are settled.
    pub async fn close(&self) {
        self.inner.queue.lock().expect("no panic while held").take();
        let committer = self
            .inner
            .committer
            .lock()
            .expect("no panic while held")
            .take();
        if let Some(committer) = committer {
            let _ = committer.await;
        }
    }
}

/// Hides the types of a decision, so that commands of all kinds share one queue.
fn erase<S, D, E>(
    streams: S,
    decide: impl for<'a> Fn(S::States<'a>) -> Result<D, E> + Send + Sync + 'static,
) -> crate::committer::Decide
where
    S: StreamSet,
    D: Into<Decided<S::Events>>,
    E: Serialize,
{
    Box::new(move |states: &[ErasedState]| {
        let decided = match decide(streams.states(&mut states.iter())) {
            Ok(decided) => decided.into(),
            Err(error) => {
                return match serde_json::to_value(&error) {
                    Ok(error) => Decision::Refused(error),
                    Err(error) => Decision::Unencodable(error.to_string()),
                };
            }
        };
        let mut changes = Vec::new();
        match streams.changes(decided.events, &mut states.iter(), &mut changes) {
            Ok(()) => Decision::Accepted {
                changes,
                timers: decided.timers,
            },
            Err(error) => Decision::Unencodable(error.to_string()),
        }
    })
}

fn translate<E: DeserializeOwned>(reply: Reply) -> Result<Executed, ExecuteError<E>> {
    match reply {
        Reply::Done(executed) => Ok(executed),
        Reply::Refused { error, replayed } => Err(match serde_json::from_value(error) {
            Ok(error) => ExecuteError::Refused { error, replayed },
            // A refusal stored by another version of the program.
            Err(error) => ExecuteError::Corrupt(format!("a stored refusal is unreadable: {error}")),
        }),
        Reply::VersionMismatch {
            expected,
            actual,
            replayed,
        } => Err(ExecuteError::VersionMismatch {
            expected,
            actual,
            replayed,
        }),
        Reply::KeyReused => Err(ExecuteError::KeyReused),
        Reply::Invalid(reason) => Err(ExecuteError::Invalid(reason)),
        Reply::Corrupt(reason) => Err(ExecuteError::Corrupt(reason)),
    }
}

fn outcome_name<E>(outcome: &Result<Executed, ExecuteError<E>>) -> &'static str {
    match outcome {
        Ok(executed) if executed.events == 0 => "no-op",
        Ok(_) => "accepted",
        Err(ExecuteError::Refused { .. }) => "refused",
        Err(ExecuteError::VersionMismatch { .. }) => "version-mismatch",
        Err(ExecuteError::KeyReused) => "key-reused",
        Err(ExecuteError::InFlight) => "in-flight",
        Err(ExecuteError::Overloaded) => "overloaded",
        Err(ExecuteError::OutcomeUnknown) => "outcome-unknown",
        Err(ExecuteError::Invalid(_)) => "invalid",
        Err(ExecuteError::Corrupt(_)) => "corrupt",
        Err(ExecuteError::Closed) => "closed",
    }
}

fn check_stream_id(id: &str) -> Result<(), String> {
    if id.is_empty() || id.len() > STREAM_ID_BYTES_MAX {
        return Err(format!(
            "a stream id has 1 to {STREAM_ID_BYTES_MAX} bytes, not {}",
            id.len()
        ));
    }
    if id.chars().any(char::is_control) {
        return Err("a stream id holds a control character".to_owned());
    }
    Ok(())
}
