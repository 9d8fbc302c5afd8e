//! The side of the source that speaks with the brokers.

use std::collections::HashMap;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::Instant;

use super::Source;
use crate::kafka::{Place, complain, is_final, read};
use crate::reactor::group::consumer::Member;
use crate::reactor::group::places::Stand;
use crate::reactor::lane::RecordHint;

/// Most records taken from the client's queue in one go.
const DRAIN_MAX: usize = 2_048;

impl Source {
    pub(super) fn hint(&self, stands: &[Stand]) {
        let hints: HashMap<Place, RecordHint> = stands
            .iter()
            .filter_map(|stand| Some((stand.place.clone(), stand.hint?)))
            .collect();
        self.member.set_hints(hints);
    }

    /// Takes what the client has fetched, and whatever else it has to say. False where there is more.
    pub(super) fn drain(&mut self) -> KafkaResult<bool> {
        let head = *self.head.borrow();
        let now = Instant::now();
        for _ in 0..DRAIN_MAX {
            let message = match self.member.consumer().poll(Duration::ZERO) {
                None => return Ok(true),
                Some(Err(error)) if is_final(&error) => return Err(error),
                Some(Err(error)) => {
                    complain(&mut self.complain_at, &error);
                    continue;
                }
                Some(Ok(message)) => message,
            };
            let (topic, partition) = (message.topic(), message.partition());
            let lane = self.layout.lane_at(topic, partition);
            // Of a partition that was assigned a moment ago nothing came yet; of one that was revoked nothing counts.
            let Some(inbox) = lane.and_then(|lane| self.inboxes.get_mut(&lane)) else {
                continue;
            };
            inbox.brought(now);
            let offset = message.offset();
            let taken = match read(&message, head) {
                Ok(event) => {
                    let as_left = inbox.check_begin(offset, event.position);
                    if !as_left {
                        seek_beginning(&self.member, topic, partition);
                    }
                    match self.layout.reads(&event.aggregate_type) {
                        true => inbox.offer(event, offset),
                        false => Ok(()),
                    }
                }
                Err(reason) => Err(reason),
            };
            if let Err(reason) = taken {
                let place = || format!("{topic}/{partition} at offset {offset}");
                self.refused.count(reason, place);
            }
        }
        Ok(false)
    }

    /// Pauses partitions that bring more than is taken, and lets them go on.
    pub(super) fn balance(&mut self) -> KafkaResult<()> {
        let mut pause = TopicPartitionList::new();
        let mut resume = TopicPartitionList::new();
        for (lane, inbox) in &mut self.inboxes {
            let Some(paused) = inbox.balance() else {
                continue;
            };
            let (topic, partition) = self.layout.place(*lane);
            let list = if paused { &mut pause } else { &mut resume };
            list.add_partition(topic, *partition);
        }
        if pause.count() > 0 {
            self.member.consumer().pause(&pause)?;
        }
        if resume.count() > 0 {
            self.member.consumer().resume(&resume)?;
        }
        Ok(())
    }

    pub(super) fn commit(&self) {
        let offsets = self
            .shared
            .offsets
            .lock()
            .expect("no panic while held")
            .clone();
        let mine = offsets
            .into_iter()
            .filter(|(lane, _)| self.inboxes.contains_key(lane))
            .map(|(lane, next)| (self.layout.place(lane), next));
        self.member.commit(mine);
    }
}

/// The topic is another one than that which was read before: all that it has is looked at.
fn seek_beginning(member: &Member, topic: &str, partition: i32) {
    tracing::info!(topic, partition, "read from its beginning: it was refilled");
    let sought = member
        .consumer()
        .seek(topic, partition, Offset::Beginning, Duration::ZERO);
    if let Err(error) = sought {
        tracing::debug!(topic, partition, %error, "not read from its beginning");
    }
}
