//! The producer, and what the brokers answer.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use tokio::sync::Notify;

use crate::kafka::{Context, KafkaSettings, Place};

/// What the order of the records rests on, and bounds. The window is smaller than the client's queue.
const SETTINGS: [(&str, &str); 10] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Else a refused record is followed by those behind it: a hole that looks like an end.
    ("enable.gapless.guarantee", "true"),
    // Never given up: brokers that are away are waited for.
    ("message.timeout.ms", "0"),
    // A topic that was there a moment ago and is not now was deleted: not waited for as for one that is new.
    ("topic.metadata.propagation.max.ms", "2000"),
    ("queue.buffering.max.messages", "50000"),
    ("queue.buffering.max.kbytes", "131072"),
    ("linger.ms", "2"),
    ("batch.num.messages", "5000"),
    ("retry.backoff.max.ms", "1000"),
];

/// For answers on what was sent when something else went wrong. A broker that is well answers within milliseconds, on a busy
/// machine within seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// Publishes in the order in which it is called, by one task only.
pub(super) struct Producer {
    /// Taken when dropped.
    inner: Option<ThreadedProducer<Answers>>,
    answers: Arc<Queue>,
}

/// Whether a record was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// The same record again, once something has been answered: the client's queue is full, or what is before it has to
    /// arrive first.
    Later,
}

/// What the brokers answered, in no particular order across partitions.
#[derive(Debug, Default)]
struct Queue {
    answers: Mutex<Vec<Answer>>,
    arrived: Notify,
    /// What the client said last about its connections.
    trouble: Mutex<Option<KafkaError>>,
}

/// What became of the record of a position.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) position: i64,
    /// Its offset.
    pub(super) result: Result<i64, KafkaError>,
}

struct Answers(Arc<Queue>);

/// The client's configuration; `batch_bytes` bounds a request to one partition further than the client does by itself.
pub(super) fn config(settings: &KafkaSettings, batch_bytes: Option<u32>) -> ClientConfig {
    let mut config = settings.client(&SETTINGS);
    if let Some(bytes) = batch_bytes {
        config.set("batch.size", bytes.to_string());
    }
    config
}

impl Producer {
    /// As [`config`] says.
    pub(super) fn new(settings: &KafkaSettings, batch_bytes: Option<u32>) -> KafkaResult<Self> {
        let answers = Arc::new(Queue::default());
        let config = config(settings, batch_bytes);
        let inner =
            ThreadedProducer::from_config_and_context(&config, Answers(Arc::clone(&answers)))?;
        Ok(Self {
            inner: Some(inner),
            answers,
        })
    }

    /// Hands a record to the client, which sends it in the background.
    pub(super) fn send(
        &self,
        place: &Place,
        position: i64,
        key: &str,
        payload: &str,
        headers: OwnedHeaders,
        timestamp: i64,
    ) -> KafkaResult<Sent> {
        let producer = self.inner.as_ref().expect("taken only when dropped");
        let opaque = usize::try_from(position).unwrap_or_default();
        let record = BaseRecord::with_opaque_to(&place.0, opaque)
            .partition(place.1)
            .key(key)
            .payload(payload)
            .headers(headers)
            .timestamp(timestamp);
        match producer.send(record) {
            Ok(()) => Ok(Sent::Yes),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(Sent::Later),
            Err((error, _)) => Err(error),
        }
    }

    /// What was answered since the last call.
    pub(super) fn answers(&self) -> Vec<Answer> {
        mem::take(&mut *lock(&self.answers.answers))
    }

    /// What the client said last about its connections, since the last call.
    pub(super) fn trouble(&self) -> Option<KafkaError> {
        lock(&self.answers.trouble).take()
    }

    /// Until something is answered; at once where something was since the last wait. Cancel-safe.
    pub(super) async fn answered(&self) {
        self.answers.arrived.notified().await;
    }
}

impl Producer {
    /// Discards what is under way and waits until the client has ended; what of it arrived all the same is
    /// found by the next start.
    pub(super) async fn close(mut self) {
        self.purge();
        let inner = self.inner.take();
        // Only a panic of the client could fail this, and it would change nothing.
        let _ = tokio::task::spawn_blocking(move || drop(inner)).await;
    }

    /// Discards what was not sent, gives the brokers [`SETTLED_WITHIN`] to answer what was, and closes. What a broker is
    /// about to write would else be there only after the next start has looked, and be sent again.
    pub(super) async fn settle(mut self) {
        let Some(producer) = self.inner.take() else {
            return;
        };
        producer.purge(PurgeConfig::default().queue());
        let settled = move || {
            // Brokers that do not answer in time are what the next start compares the topics for.
            let _ = producer.flush(SETTLED_WITHIN);
            producer.purge(PurgeConfig::default().queue().inflight());
        };
        // As in `close`.
        let _ = tokio::task::spawn_blocking(settled).await;
    }

    /// At once: what is dropped in the background must not be sent meanwhile.
    fn purge(&self) {
        if let Some(producer) = &self.inner {
            producer.purge(PurgeConfig::default().queue().inflight());
        }
    }
}

impl Drop for Producer {
    /// As [`Producer::close`]. Waits for the client's threads: not on a thread that drives futures.
    fn drop(&mut self) {
        self.purge();
        let inner = self.inner.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(inner))),
            Err(_) => drop(inner),
        }
    }
}

/// Nothing that can panic runs under these locks.
fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Answers {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Context.error(error.clone(), reason);
        *lock(&self.0.trouble) = Some(error);
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, position: usize) {
        let answer = Answer {
            position: i64::try_from(position).unwrap_or_default(),
            result: match result {
                Ok(message) => Ok(message.offset()),
                Err((error, _)) => Err(error.clone()),
            },
        };
        let mut answers = lock(&self.0.answers);
        let first = answers.is_empty();
        answers.push(answer);
        drop(answers);
        // Whoever takes them takes all: one wake is enough.
        if first {
            self.0.arrived.notify_one();
        }
    }
}
