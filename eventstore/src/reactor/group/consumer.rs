//! Membership in a consumer group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::Notify;

use super::layout::Layout;
use crate::kafka::{Consumer, Context, KafkaSettings, Place};
use crate::reactor::lane::RecordHint;

/// The group of a reactor.
pub(super) fn group(settings: &KafkaSettings, reactor: &str) -> String {
    format!("{}{reactor}-group", settings.topic_prefix)
}

/// A member that is gone without a word is noticed within six seconds, the least that brokers allow by default.
/// Partitions move one by one: who keeps them works on meanwhile.
pub(super) fn config(settings: &KafkaSettings, group: &str) -> ClientConfig {
    let mut config = settings.consumer(group);
    config
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "2000");
    config
}

/// A change of what this member has.
pub(super) enum Change {
    /// Each partition, and where reading it goes on.
    Assigned(Vec<(Place, Option<RecordHint>)>),
    Revoked(Vec<Place>),
}

/// Answers the client's questions about partitions.
pub(super) struct GroupContext {
    /// Where reading goes on.
    hints: Mutex<HashMap<Place, RecordHint>>,
    changes: Mutex<Vec<Change>>,
}

impl GroupContext {
    fn changes(&self) -> MutexGuard<'_, Vec<Change>> {
        self.changes.lock().expect("no panic while held")
    }

    /// Begins each partition at its hint, and at its beginning where there is none: never where the brokers think.
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) {
        let hints = self.hints.lock().expect("no panic while held");
        let assigned: Vec<(Place, Option<RecordHint>)> = places(list)
            .into_iter()
            .map(|place| {
                let hint = hints.get(&place).copied();
                (place, hint)
            })
            .collect();
        for ((topic, partition), hint) in &assigned {
            let offset = hint.map_or(Offset::Beginning, |hint| Offset::Offset(hint.offset));
            if let Err(error) = list.set_partition_offset(topic, *partition, offset) {
                tracing::debug!(topic, partition, %error, "no offset to begin at");
            }
        }
        if let Err(error) = consumer.incremental_assign(list) {
            tracing::warn!(%error, "partitions were not taken");
        }
        self.changes().push(Change::Assigned(assigned));
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let revoked = places(list);
        if let Err(error) = consumer.incremental_unassign(list) {
            tracing::warn!(%error, "partitions were not given up");
        }
        self.changes().push(Change::Revoked(revoked));
    }
}

fn places(list: &TopicPartitionList) -> Vec<Place> {
    let elements = list.elements();
    let place = elements
        .iter()
        .map(|element| (element.topic().to_owned(), element.partition()));
    place.collect()
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Context.error(error, reason);
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match kind {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            // Also where something went wrong: what is not held any more is given up.
            _ => self.revoke(consumer, list),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        Context.commit_callback(result, offsets);
    }
}

/// A member of a group.
pub(super) struct Member {
    consumer: Consumer<GroupContext>,
}

impl Member {
    /// Asks to become a member; partitions come later.
    pub(super) fn join(
        settings: &KafkaSettings,
        group: &str,
        layout: &Layout,
    ) -> KafkaResult<Self> {
        let context = GroupContext {
            hints: Mutex::default(),
            changes: Mutex::default(),
        };
        let config = config(settings, group);
        let consumer = Consumer::new(&config, context)?;
        consumer.subscribe(&layout.topics())?;
        tracing::info!(group, "following Kafka as a member");
        Ok(Self { consumer })
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<GroupContext> {
        &self.consumer
    }

    pub(super) fn nonempty(&self) -> Arc<Notify> {
        self.consumer.nonempty()
    }

    /// What has changed since it was asked last.
    pub(super) fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.consumer().context().changes())
    }

    /// Where reading goes on in partitions that are assigned from now on.
    pub(super) fn set_hints(&self, hints: HashMap<Place, RecordHint>) {
        let context = self.consumer().context();
        *context.hints.lock().expect("no panic while held") = hints;
    }

    /// Tells the brokers how far this member has come, for those who watch lags. Nothing rests on it.
    pub(super) fn commit<'a>(&self, next: impl IntoIterator<Item = (&'a Place, i64)>) {
        let mut offsets = TopicPartitionList::new();
        for ((topic, partition), next) in next {
            let _ = offsets.add_partition_offset(topic, *partition, Offset::Offset(next));
        }
        if offsets.count() > 0 {
            let _ = self.consumer().commit(&offsets, CommitMode::Async);
        }
    }

    /// Leaves the group, so that others get the partitions at once.
    pub(super) async fn leave(self) {
        self.consumer.close().await;
    }
}
