//! Which partitions there are, and which stream is in which.

use std::collections::HashMap;

use super::SessionError;
use crate::dead_letters::StreamName;
use crate::kafka::{KafkaSettings, Metadata, Place, partition_of};
use crate::reactor::ReactionsError;
use crate::reactor::lane::LaneId;

/// The partitions of the topics that a reactor reads, numbered as lanes.
pub(in crate::reactor) struct Layout {
    places: Vec<Place>,
    /// By topic the lane of its first partition, and how many there are.
    topics: HashMap<String, (LaneId, i32)>,
    /// By aggregate type its topic's first lane and number of partitions.
    types: HashMap<String, (LaneId, i32)>,
}

impl Layout {
    pub(super) fn of(
        settings: &KafkaSettings,
        reads: &[&str],
        existing: &Metadata,
    ) -> Result<Self, SessionError> {
        let mut layout = Self {
            places: Vec::new(),
            topics: HashMap::new(),
            types: HashMap::new(),
        };
        for aggregate_type in reads {
            let Some(topic) = settings.topic_of(aggregate_type) else {
                let unmapped = (*aggregate_type).to_owned();
                return Err(ReactionsError::Unmapped(unmapped).into());
            };
            let Some(partitions) = existing.get(&topic).copied() else {
                return Err(SessionError::NoTopic(topic));
            };
            let numbered = match layout.topics.get(&topic) {
                Some(numbered) => *numbered,
                None => {
                    let numbered = (layout.places.len(), partitions);
                    let places = (0..partitions).map(|partition| (topic.clone(), partition));
                    layout.places.extend(places);
                    layout.topics.insert(topic, numbered);
                    numbered
                }
            };
            layout.types.insert((*aggregate_type).to_owned(), numbered);
        }
        Ok(layout)
    }

    /// The topics.
    pub(super) fn topics(&self) -> Vec<&str> {
        self.topics.keys().map(String::as_str).collect()
    }

    /// The aggregate types that are read.
    pub(super) fn types(&self) -> Vec<&str> {
        self.types.keys().map(String::as_str).collect()
    }

    /// Whether events of this type are read. Other types may share a topic with them.
    pub(super) fn reads(&self, aggregate_type: &str) -> bool {
        self.types.contains_key(aggregate_type)
    }

    /// Each partition, and how many its topic has, in the order of lanes.
    pub(in crate::reactor) fn places(&self) -> impl Iterator<Item = (&Place, i32)> {
        self.places.iter().map(|place| {
            let (_, partitions) = self.topics[&place.0];
            (place, partitions)
        })
    }

    pub(in crate::reactor) fn place(&self, lane: LaneId) -> &Place {
        &self.places[lane]
    }

    /// The lane of a partition.
    pub(super) fn lane_at(&self, topic: &str, partition: i32) -> Option<LaneId> {
        let (first, partitions) = *self.topics.get(topic)?;
        let index = usize::try_from(partition).ok()?;
        (partition < partitions).then_some(first + index)
    }

    /// The lane of a stream.
    pub(super) fn lane_of(&self, (aggregate_type, id): &StreamName) -> Option<LaneId> {
        self.lane_of_key(aggregate_type, id, &mut String::new())
    }

    /// As [`Self::lane_of`]; the text is for the key of its records.
    pub(super) fn lane_of_key(
        &self,
        aggregate_type: &str,
        id: &str,
        key: &mut String,
    ) -> Option<LaneId> {
        let (first, partitions) = *self.types.get(aggregate_type)?;
        crate::kafka::record::write_key(aggregate_type, id, key);
        let partition = partition_of(key.as_bytes(), partitions);
        Some(first + usize::try_from(partition).ok()?)
    }
}
