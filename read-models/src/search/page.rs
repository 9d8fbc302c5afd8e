//! The hits of one page: those that come first after a place.

use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn, TermOrdHit};
use tantivy::{DocAddress, DocId, Score, SegmentOrdinal, SegmentReader, i64_to_u64};

use super::Sort;
use super::index::fast;

/// Where a hit stands among all: what is smaller comes first. It depends on the search and the product only, so a hit
/// keeps it whatever else comes and goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Place {
    #[serde(rename = "k")]
    key: Key,
    /// Words of the name, where hits come by relevance.
    #[serde(rename = "l")]
    length: u64,
    /// No two hits have the same.
    #[serde(rename = "s")]
    sku: String,
}

/// One search's keys are all of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(u64),
    Text(String),
}

/// Finds the hits that come first after a place.
pub(super) struct PageCollector {
    pub sort: Sort,
    /// Whether shorter names come first among equal scores.
    pub shorter_first: bool,
    pub limit: usize,
    /// The last hit of the page before.
    pub after: Option<Place>,
}

/// A hit of a page.
#[derive(Debug)]
pub(super) struct Ranked {
    pub place: Place,
    pub score: Score,
    pub address: DocAddress,
}

impl Place {
    /// Whether hits in this order have such places.
    pub(super) fn is_in(&self, sort: Sort) -> bool {
        matches!(self.key, Key::Text(_)) == matches!(sort, Sort::Name)
    }
}

impl Collector for PageCollector {
    type Fruit = Vec<Ranked>;
    type Child = SegmentPage;

    fn for_segment(
        &self,
        segment_ord: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<SegmentPage> {
        let columns = reader.fast_fields();
        let order = match self.sort {
            Sort::Relevance => Order::Score,
            Sort::PriceAsc => Order::Cheapest(columns.i64(fast::PRICE)?),
            Sort::PriceDesc => Order::Dearest(columns.i64(fast::PRICE)?),
            Sort::Name => Order::Name(Names(columns.str(fast::NAME)?)),
        };
        let by_length = self.shorter_first && self.sort == Sort::Relevance;
        let length = by_length.then(|| columns.u64(fast::NAME_LENGTH));
        let sku = Names(columns.str(fast::SKU)?);
        let after = self.after.as_ref().map(|place| {
            let key = match (&place.key, &order) {
                (Key::Text(text), Order::Name(names)) => names.position_of(text)?,
                (Key::Number(number), _) => *number,
                (Key::Text(_), _) => 0,
            };
            tantivy::Result::Ok((key, place.length, sku.position_of(&place.sku)?))
        });
        Ok(SegmentPage {
            segment_ord,
            order,
            length: length.transpose()?,
            sku,
            limit: self.limit,
            after: after.transpose()?,
            first: BinaryHeap::new(),
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(
        &self,
        segments: Vec<tantivy::Result<Vec<Ranked>>>,
    ) -> tantivy::Result<Vec<Ranked>> {
        let mut all = Vec::new();
        for segment in segments {
            all.append(&mut segment?);
        }
        all.sort_unstable_by(|a, b| a.place.cmp(&b.place));
        all.truncate(self.limit);
        Ok(all)
    }
}

/// Within a segment texts are compared by their ordinals, which are in their order.
type LocalPlace = (u64, u64, u64);

pub(super) struct SegmentPage {
    segment_ord: SegmentOrdinal,
    order: Order,
    length: Option<Column<u64>>,
    sku: Names,
    limit: usize,
    after: Option<LocalPlace>,
    /// The first ones so far, the last of them on top; with the bits of their scores.
    first: BinaryHeap<(LocalPlace, DocId, u32)>,
}

enum Order {
    Score,
    Cheapest(Column<i64>),
    Dearest(Column<i64>),
    Name(Names),
}

/// A column of texts; a segment in which no document has any has none.
struct Names(Option<StrColumn>);

impl Names {
    /// Where a document's text stands among the segment's: an odd number, so that there is one between any two.
    fn position(&self, doc: DocId) -> u64 {
        let ordinal = self.0.as_ref().and_then(|column| column.ords().first(doc));
        ordinal.map_or(0, |ordinal| 2 * ordinal + 1)
    }

    /// Where any text stands or would stand.
    fn position_of(&self, text: &str) -> tantivy::Result<u64> {
        let Some(column) = &self.0 else {
            return Ok(0);
        };
        Ok(match column.dictionary().term_ord_or_next(text)? {
            TermOrdHit::Exact(ordinal) => 2 * ordinal + 1,
            TermOrdHit::Next(ordinal) => ordinal.saturating_mul(2),
        })
    }

    fn text(&self, position: u64) -> tantivy::Result<String> {
        let mut text = String::new();
        if let (Some(column), 1..) = (&self.0, position) {
            column.ord_to_str(position / 2, &mut text)?;
        }
        Ok(text)
    }
}

impl SegmentPage {
    fn key(&self, doc: DocId, score: Score) -> u64 {
        match &self.order {
            // Scores are not negative: their bits are in their order.
            Order::Score => u64::from(u32::MAX - score.to_bits()),
            Order::Cheapest(price) => price.first(doc).map_or(0, i64_to_u64),
            Order::Dearest(price) => u64::MAX - price.first(doc).map_or(0, i64_to_u64),
            Order::Name(names) => names.position(doc),
        }
    }

    fn length(&self, doc: DocId) -> u64 {
        let length = self.length.as_ref().and_then(|length| length.first(doc));
        length.unwrap_or_default()
    }

    /// The last of the first ones, once there are as many as are wanted.
    fn last(&self) -> Option<LocalPlace> {
        let last = self.first.peek().filter(|_| self.first.len() == self.limit);
        last.map(|(place, ..)| *place)
    }

    fn ranked(&self, found: (LocalPlace, DocId, u32)) -> tantivy::Result<Ranked> {
        let ((key, length, sku), doc, score) = found;
        let key = match &self.order {
            Order::Name(names) => Key::Text(names.text(key)?),
            Order::Score | Order::Cheapest(_) | Order::Dearest(_) => Key::Number(key),
        };
        let sku = self.sku.text(sku)?;
        Ok(Ranked {
            place: Place { key, length, sku },
            score: Score::from_bits(score),
            address: DocAddress::new(self.segment_ord, doc),
        })
    }
}

impl SegmentCollector for SegmentPage {
    type Fruit = tantivy::Result<Vec<Ranked>>;

    fn collect(&mut self, doc: DocId, score: Score) {
        let last = self.last();
        let key = self.key(doc, score);
        // Most hits are told by their key alone.
        if last.is_some_and(|last| key > last.0) {
            return;
        }
        let place = (key, self.length(doc), self.sku.position(doc));
        if self.after.is_some_and(|after| place <= after) || last.is_some_and(|last| place > last) {
            return;
        }
        if last.is_some() {
            self.first.pop();
        }
        self.first.push((place, doc, score.to_bits()));
    }

    fn harvest(mut self) -> Self::Fruit {
        let first = std::mem::take(&mut self.first).into_sorted_vec();
        first.into_iter().map(|found| self.ranked(found)).collect()
    }
}
