//! A bare producer of the records that the relay has published: the same keys, headers, values and partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Kept in memory and sent again and again: enough to fill every partition's batches.
const RECORDS_MAX: usize = 50_000;

/// Longest wait for what the brokers have.
const READ_MAX: Duration = Duration::from_secs(60);
const POLL_MAX: Duration = Duration::from_millis(500);

/// Longest wait for the last answers.
const FLUSH_MAX: Duration = Duration::from_secs(120);

/// A full queue is tried again so soon.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(1);

/// A record as it was found, headers included.
pub(super) struct Record {
    partition: i32,
    key: Vec<u8>,
    payload: Vec<u8>,
    headers: OwnedHeaders,
    timestamp: i64,
}

/// Records of a topic, as many as are wanted and are worth keeping.
///
/// # Errors
/// Where the topic holds fewer, or the brokers do not answer.
pub(super) fn read(
    brokers: &ClientConfig,
    topic: &str,
    partitions: i32,
    wanted: u64,
) -> anyhow::Result<Vec<Record>> {
    let wanted = usize::try_from(wanted)?.min(RECORDS_MAX);
    let mut config = brokers.clone();
    config
        .set("group.id", "nakku-bench")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer<Quiet> = BaseConsumer::from_config_and_context(&config, Quiet)?;
    let mut places = TopicPartitionList::new();
    for partition in 0..partitions {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&places)?;
    let end = Instant::now() + READ_MAX;
    let mut records = Vec::with_capacity(wanted);
    while records.len() < wanted {
        if Instant::now() > end {
            bail!("{topic} holds {} records, not {wanted}", records.len());
        }
        let Some(message) = consumer.poll(POLL_MAX) else {
            continue;
        };
        let message = message?;
        records.push(Record {
            partition: message.partition(),
            key: message.key().unwrap_or_default().to_vec(),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: message
                .headers()
                .map(rdkafka::message::BorrowedHeaders::detach)
                .context("a record of the relay has no headers")?,
            timestamp: message.timestamp().to_millis().unwrap_or_default(),
        });
    }
    Ok(records)
}

/// Sends so many of the records to a topic, in turn, and waits until all are acknowledged.
pub(super) fn publish(
    config: &ClientConfig,
    topic: &str,
    records: &[Record],
    count: u64,
) -> anyhow::Result<Duration> {
    let answers = Answers::default();
    let acknowledged = Arc::clone(&answers.0);
    let producer = ThreadedProducer::from_config_and_context(config, answers)?;
    let began = Instant::now();
    for record in records.iter().cycle().take(usize::try_from(count)?) {
        let mut ready = BaseRecord::to(topic)
            .partition(record.partition)
            .key(&record.key)
            .payload(&record.payload)
            .headers(record.headers.clone())
            .timestamp(record.timestamp);
        while let Err((error, refused)) = producer.send(ready) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("the bare producer failed");
            }
            ready = refused;
            std::thread::sleep(QUEUE_FULL_WAIT);
        }
    }
    producer
        .flush(FLUSH_MAX)
        .context("the brokers do not answer")?;
    let elapsed = began.elapsed();
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    anyhow::ensure!(
        acknowledged == count,
        "the brokers took {acknowledged} of {count} records"
    );
    Ok(elapsed)
}

/// Says nothing: of settings that are of no use to a client every one would speak, and what fails is told by its result.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
}

impl rdkafka::consumer::ConsumerContext for Quiet {}

/// Counts what was acknowledged.
#[derive(Default)]
struct Answers(Arc<AtomicU64>);

impl ClientContext for Answers {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
}

impl ProducerContext for Answers {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
