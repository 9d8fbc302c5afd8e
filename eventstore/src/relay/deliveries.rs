//! The producer, and what the brokers answer.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

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
const SETTINGS: [(&str, &str); 9] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // Else a refused record is followed by those behind it: a hole that looks like an end.
    ("enable.gapless.guarantee", "true"),
    // Never given up: brokers that are away are waited for.
    ("message.timeout.ms", "0"),
    ("queue.buffering.max.messages", "50000"),
    ("queue.buffering.max.kbytes", "131072"),
    ("linger.ms", "2"),
    ("batch.num.messages", "5000"),
    ("retry.backoff.max.ms", "1000"),
];

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
    /// The client's queue is full: the same record again, once something has been answered.
    QueueFull,
}

/// What the brokers answered, in no particular order across partitions.
#[derive(Debug, Default)]
struct Queue {
    answers: Mutex<Vec<Answer>>,
    arrived: Notify,
}

/// A position, and the offset of its record.
pub(super) type Answer = Result<(i64, i64), KafkaError>;

struct Answers(Arc<Queue>);

impl Producer {
    pub(super) fn new(settings: &KafkaSettings) -> KafkaResult<Self> {
        let answers = Arc::new(Queue::default());
        let config = settings.client(&SETTINGS);
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
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                Ok(Sent::QueueFull)
            }
            Err((error, _)) => Err(error),
        }
    }

    /// What was answered since the last call.
    pub(super) fn answers(&self) -> Vec<Answer> {
        mem::take(&mut *self.answers.lock())
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

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Answer>> {
        // Nothing that can panic runs under the lock.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Answers {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Context.error(error, reason);
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, position: usize) {
        let answer = match result {
            Ok(message) => Ok((
                i64::try_from(position).unwrap_or_default(),
                message.offset(),
            )),
            Err((error, _)) => Err(error.clone()),
        };
        let mut answers = self.0.lock();
        let first = answers.is_empty();
        answers.push(answer);
        drop(answers);
        // Whoever takes them takes all: one wake is enough.
        if first {
            self.0.arrived.notify_one();
        }
    }
}
