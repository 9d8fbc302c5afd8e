//! The names that a query finds, each once.

use std::cmp::Ordering;
use std::collections::HashMap;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::StrColumn;
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader};

use super::facets::texts;
use super::index::fast;

/// Groups what is found by name: many products share one.
pub(super) struct NameCounter;

pub(super) struct NameFound {
    /// [Folded](Self::folded).
    name: String,
    /// The best of its products'.
    score: Score,
    /// One of its products.
    pub address: DocAddress,
    pub count: u64,
}

impl NameFound {
    pub(super) fn folded(&self) -> &str {
        &self.name
    }

    /// The better match first, then the name that more products have.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then_with(|| other.count.cmp(&self.count))
            .then_with(|| self.name.cmp(&other.name))
    }
}

impl Collector for NameCounter {
    type Fruit = Vec<NameFound>;
    type Child = SegmentNames;

    fn for_segment(
        &self,
        segment_ord: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<SegmentNames> {
        Ok(SegmentNames {
            segment_ord,
            column: reader.fast_fields().str(fast::NAME)?,
            found: HashMap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(
        &self,
        segments: Vec<tantivy::Result<Vec<NameFound>>>,
    ) -> tantivy::Result<Vec<NameFound>> {
        let mut all: HashMap<String, NameFound> = HashMap::new();
        for segment in segments {
            for found in segment? {
                match all.get_mut(&found.name) {
                    Some(known) => {
                        known.count += found.count;
                        known.score = known.score.max(found.score);
                    }
                    None => drop(all.insert(found.name.clone(), found)),
                }
            }
        }
        Ok(all.into_values().collect())
    }
}

pub(super) struct SegmentNames {
    segment_ord: SegmentOrdinal,
    column: Option<StrColumn>,
    /// By the ordinal of the name.
    found: HashMap<u64, (Score, DocId, u64)>,
}

impl SegmentCollector for SegmentNames {
    type Fruit = tantivy::Result<Vec<NameFound>>;

    fn collect(&mut self, doc: DocId, score: Score) {
        let ordinal = self
            .column
            .as_ref()
            .and_then(|column| column.ords().first(doc));
        if let Some(ordinal) = ordinal {
            let (best, _, count) = self.found.entry(ordinal).or_insert((score, doc, 0));
            *best = best.max(score);
            *count += 1;
        }
    }

    fn harvest(self) -> Self::Fruit {
        let Some(column) = self.column else {
            return Ok(Vec::new());
        };
        let mut found: Vec<_> = self.found.into_iter().collect();
        found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        let ordinals: Vec<u64> = found.iter().map(|(ordinal, _)| *ordinal).collect();
        let names = texts(&column, &ordinals)?.into_iter().zip(found);
        Ok(names
            .map(|(name, (_, (score, doc, count)))| NameFound {
                name,
                score,
                address: DocAddress::new(self.segment_ord, doc),
                count,
            })
            .collect())
    }
}
