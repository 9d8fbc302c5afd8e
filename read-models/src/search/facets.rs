//! Counts over everything that a search found.

use std::collections::HashMap;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, StrColumn};
use tantivy::{DocId, Score, SegmentOrdinal, SegmentReader};

use super::index::{LEVEL_SEPARATOR, category_key, fast};
use super::{Category, FacetCount, Facets, PriceRange, categories};

/// Brands that an answer counts, those with most hits.
const BRANDS_MAX: usize = 20;

/// Categories of one level that an answer counts, those with most hits.
const CATEGORIES_MAX: usize = 100;

/// Where the ranges of prices begin, in the currency's smallest unit; the last has no end.
const PRICE_RANGES: [i64; 6] = [0, 200, 500, 1_000, 2_000, 5_000];

/// Counts hits, and hits by brand, category and range of prices, in one pass.
pub(super) struct FacetCounter;

/// What was counted.
#[derive(Default)]
pub(super) struct Counts {
    pub total: u64,
    brands: HashMap<String, u64>,
    /// By path, its levels separated by [`LEVEL_SEPARATOR`]; each hit counts at every depth.
    categories: HashMap<String, u64>,
    prices: [u64; PRICE_RANGES.len()],
}

impl Collector for FacetCounter {
    type Fruit = Counts;
    type Child = SegmentCounter;

    fn for_segment(
        &self,
        _segment: SegmentOrdinal,
        reader: &SegmentReader,
    ) -> tantivy::Result<SegmentCounter> {
        let columns = reader.fast_fields();
        Ok(SegmentCounter {
            total: 0,
            brands: TermCounter::new(columns.str(fast::BRAND)?),
            categories: TermCounter::new(columns.str(fast::CATEGORY)?),
            price: columns.i64(fast::PRICE)?,
            prices: Default::default(),
        })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, segments: Vec<tantivy::Result<Counts>>) -> tantivy::Result<Counts> {
        let mut all = Counts::default();
        for segment in segments {
            let segment = segment?;
            all.total += segment.total;
            for (brand, count) in segment.brands {
                *all.brands.entry(brand).or_default() += count;
            }
            for (category, count) in segment.categories {
                *all.categories.entry(category).or_default() += count;
            }
            for (sum, count) in all.prices.iter_mut().zip(segment.prices) {
                *sum += count;
            }
        }
        Ok(all)
    }
}

pub(super) struct SegmentCounter {
    total: u64,
    brands: TermCounter,
    categories: TermCounter,
    price: Column<i64>,
    prices: [u64; PRICE_RANGES.len()],
}

impl SegmentCollector for SegmentCounter {
    type Fruit = tantivy::Result<Counts>;

    fn collect(&mut self, doc: DocId, _score: Score) {
        self.total += 1;
        self.brands.count(doc);
        self.categories.count(doc);
        if let Some(price) = self.price.first(doc) {
            let range = PRICE_RANGES.partition_point(|from| *from <= price);
            // Prices are not negative.
            self.prices[range.saturating_sub(1)] += 1;
        }
    }

    fn harvest(self) -> tantivy::Result<Counts> {
        Ok(Counts {
            total: self.total,
            brands: self.brands.harvest()?,
            categories: self.categories.harvest()?,
            prices: self.prices,
        })
    }
}

/// Counts a segment's terms by their ordinal, and reads them only once all are counted.
struct TermCounter {
    column: Option<StrColumn>,
    counts: Vec<u64>,
}

impl TermCounter {
    fn new(column: Option<StrColumn>) -> Self {
        let terms = column.as_ref().map_or(0, |column| column.num_terms());
        Self {
            column,
            counts: vec![0; terms],
        }
    }

    fn count(&mut self, doc: DocId) {
        let Some(column) = &self.column else {
            return;
        };
        for ordinal in column.term_ords(doc) {
            if let Some(count) = usize::try_from(ordinal)
                .ok()
                .and_then(|i| self.counts.get_mut(i))
            {
                *count += 1;
            }
        }
    }

    fn harvest(self) -> tantivy::Result<HashMap<String, u64>> {
        let Some(column) = self.column else {
            return Ok(HashMap::new());
        };
        let counted = (0u64..).zip(self.counts).filter(|(_, count)| *count > 0);
        let (ordinals, counts): (Vec<u64>, Vec<u64>) = counted.unzip();
        Ok(texts(&column, &ordinals)?.into_iter().zip(counts).collect())
    }
}

/// The texts of ordinals in ascending order: read in one go, because each by itself is looked for from the beginning of
/// its block.
pub(super) fn texts(column: &StrColumn, ordinals: &[u64]) -> tantivy::Result<Vec<String>> {
    let mut texts = Vec::with_capacity(ordinals.len());
    column
        .dictionary()
        .sorted_ords_to_term_cb(ordinals, |text| {
            texts.push(String::from_utf8_lossy(text).into_owned());
        })?;
    Ok(texts)
}

impl Counts {
    /// Every brand with its count.
    pub(super) fn brands(&self) -> impl Iterator<Item = (&str, u64)> {
        self.brands
            .iter()
            .map(|(brand, count)| (brand.as_str(), *count))
    }

    /// Every category with its count, its levels separated by [`LEVEL_SEPARATOR`].
    pub(super) fn categories(&self) -> impl Iterator<Item = (&str, u64)> {
        self.categories
            .iter()
            .map(|(path, count)| (path.as_str(), *count))
    }

    /// The categories as a tree.
    pub(super) fn into_tree(self) -> Vec<Category> {
        categories::tree(self.categories)
    }

    /// The counts as they are answered, for a search in this category.
    pub(super) fn facets(self, category: Option<&str>) -> Facets {
        let prices = PRICE_RANGES.into_iter().enumerate().zip(self.prices);
        Facets {
            category: category_counts(self.categories, category),
            brand: most(self.brands.into_iter().collect(), BRANDS_MAX),
            price: prices
                .map(|((range, from), count)| PriceRange {
                    from,
                    to: PRICE_RANGES.get(range + 1).copied(),
                    count,
                })
                .collect(),
        }
    }
}

/// The level below the category asked for; that category itself where nothing is below it.
fn category_counts(counts: HashMap<String, u64>, category: Option<&str>) -> Vec<FacetCount> {
    let paths = counts.into_iter().map(|(path, count)| {
        (
            path.split(LEVEL_SEPARATOR).map(str::to_owned).collect(),
            count,
        )
    });
    let paths: Vec<(Vec<String>, u64)> = paths.collect();
    let asked = category.map(category_key);
    let is_asked = |levels: &[String]| match &asked {
        None => levels.is_empty(),
        Some(key) => {
            let folded: Vec<String> = levels.iter().map(|level| category_key(level)).collect();
            folded.join("/") == *key || folded.last() == Some(key)
        }
    };
    let select = |is_wanted: &dyn Fn(&[String]) -> bool| -> Vec<(String, u64)> {
        let wanted = paths.iter().filter(|(levels, _)| is_wanted(levels));
        wanted
            .map(|(levels, count)| (levels.join("/"), *count))
            .collect()
    };
    let below = select(&|levels| {
        levels
            .split_last()
            .is_some_and(|(_, parent)| is_asked(parent))
    });
    let shown = if below.is_empty() {
        select(&|levels| is_asked(levels))
    } else {
        below
    };
    most(shown, CATEGORIES_MAX)
}

/// Those with most hits first, equal ones by name.
fn most(mut counts: Vec<(String, u64)>, limit: usize) -> Vec<FacetCount> {
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(limit);
    counts
        .into_iter()
        .map(|(value, count)| FacetCount { value, count })
        .collect()
}
