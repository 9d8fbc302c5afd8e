//! What a query that is being typed may become, and what a misspelt one may have meant.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use tantivy::Searcher;
use utoipa::ToSchema;

use super::facets::{Counts, FacetCounter};
use super::highlights::Highlighter;
use super::index::{LEVEL_SEPARATOR, fetch, fields};
use super::names::{NameCounter, NameFound};
use super::query::{self, PREFIX_CHARS_MIN};
use super::request::{InvalidRequest, invalid, parse_words};
use super::spelling::Spelling;
use super::tokenizers::stem;
use super::{Ranking, SearchError, SearchRequest, Snapshot};

/// Completions of one answer, unless asked otherwise.
pub const SUGGESTIONS_DEFAULT: usize = 10;

/// Completions of one answer at most: a list that nobody reads to its end helps nobody.
pub const SUGGESTIONS_MAX: usize = 20;

/// Words that may complete the last one are tried out; those that most products have, so many.
const WORDS_TRIED_MAX: usize = 8;

/// Words of the index that are looked at for that.
const WORDS_SCANNED_MAX: usize = 20_000;

/// Names that are looked at, those that match best.
const NAMES_SCANNED_MAX: usize = 1_000;

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuggestRequest {
    /// What was typed so far. Empty: there is nothing to suggest.
    pub q: String,
    /// Completions at most, from 1 to 20.
    pub limit: usize,
}

/// Completions and corrections of a query. Each of them finds something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Suggestions {
    /// The query's words completed, then categories, brands and products that have them; the best first in each kind.
    pub completions: Vec<Completion>,
    /// Only where the query as it is written finds nothing or next to nothing, the most likely first.
    pub corrections: Vec<Correction>,
    /// The place in the log that the answer stands for.
    pub position: i64,
}

/// A completion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Completion {
    pub kind: CompletionKind,
    /// As text. Of a category its path, as a search's `category` takes it; of a brand its name, for `brand`.
    pub text: String,
    /// The same as HTML, escaped, the words found in `<em>`.
    #[schema(example = "Red <em>Onion</em>")]
    pub highlight: String,
    /// Active products that have it.
    pub count: u64,
}

/// What a completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CompletionKind {
    /// The query with its last word completed.
    Words,
    Category,
    Brand,
    /// The name of products.
    Product,
}

/// The query as it may have been meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Correction {
    pub text: String,
    /// Active products that it finds.
    pub count: u64,
}

impl SuggestRequest {
    /// Suggestions for what was typed so far.
    pub fn new(q: impl Into<String>) -> Self {
        Self {
            q: q.into(),
            limit: SUGGESTIONS_DEFAULT,
        }
    }

    fn parse(&self) -> Result<Vec<String>, InvalidRequest> {
        if !(1..=SUGGESTIONS_MAX).contains(&self.limit) {
            return Err(invalid("limit", format!("from 1 to {SUGGESTIONS_MAX}")));
        }
        parse_words(&self.q)
    }
}

impl Snapshot {
    /// What a query may become. Takes milliseconds: not for an async thread.
    pub fn suggest(&self, request: &SuggestRequest) -> Result<Suggestions, SearchError> {
        let words = request.parse()?;
        let mut suggestions = Suggestions {
            completions: Vec::new(),
            corrections: Vec::new(),
            position: self.position(),
        };
        if words.is_empty() {
            return Ok(suggestions);
        }
        let written = SearchRequest::words(&request.q);
        let query = query::build(&written, &words, Spelling::AS_WRITTEN, Ranking::ALL);
        let (names, counts) = self
            .searcher()
            .search(&*query, &(NameCounter, FacetCounter))?;
        suggestions.corrections = self.corrections(&words, counts.total)?;
        let highlighter = Highlighter::new(&words, Spelling::AS_WRITTEN);
        // The kinds share the list; products, of which there are most, take what is left.
        let share = request.limit.div_ceil(4);
        let mut found = completed_words(self, &words, share)?;
        found.extend(categories(&counts, &highlighter, share));
        found.extend(brands(&counts, &highlighter, share));
        found.truncate(request.limit);
        let left = request.limit - found.len();
        found.extend(products(self.searcher(), names, &highlighter, left)?);
        suggestions.completions = found
            .into_iter()
            .map(|(kind, text, count)| Completion {
                highlight: highlighter.marked(&text),
                kind,
                text,
                count,
            })
            .collect();
        Ok(suggestions)
    }
}

type Found = (CompletionKind, String, u64);

/// The query with its last word completed, by how many products that finds.
fn completed_words(
    snapshot: &Snapshot,
    words: &[String],
    limit: usize,
) -> tantivy::Result<Vec<Found>> {
    let Some((last, complete)) = words.split_last() else {
        return Ok(Vec::new());
    };
    if last.chars().count() < PREFIX_CHARS_MIN {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for word in longer_words(snapshot.searcher(), last)? {
        let mut words = complete.to_vec();
        words.push(word);
        let count = snapshot.count(&words, Spelling::AS_WRITTEN, Ranking::WHOLE_WORDS)?;
        if count > 0 {
            found.push((CompletionKind::Words, words.join(" "), count as u64));
        }
    }
    found.sort_by_key(|(.., count)| Reverse(*count));
    found.truncate(limit);
    Ok(found)
}

/// The words that begin so and that most documents have. Numbers complete to SKUs and sizes, which nobody means.
fn longer_words(searcher: &Searcher, beginning: &str) -> tantivy::Result<Vec<String>> {
    let mut documents: HashMap<String, u64> = HashMap::new();
    for segment in searcher.segment_readers() {
        let index = segment.inverted_index(fields().words)?;
        let mut terms = index.terms().range().ge(beginning).into_stream()?;
        for _ in 0..WORDS_SCANNED_MAX {
            if !terms.advance() {
                break;
            }
            let Ok(word) = std::str::from_utf8(terms.key()) else {
                continue;
            };
            if !word.starts_with(beginning) {
                break;
            }
            if word != beginning && !word.contains(char::is_numeric) {
                *documents.entry(word.to_owned()).or_default() += u64::from(terms.value().doc_freq);
            }
        }
    }
    let mut words: Vec<(String, u64)> = documents.into_iter().collect();
    words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    // Singular and plural find the same.
    let mut stems = HashSet::from([stem(beginning)]);
    let words = words.into_iter().map(|(word, _)| word);
    let words = words.filter(|word| stems.insert(stem(word)));
    Ok(words.take(WORDS_TRIED_MAX).collect())
}

/// Categories whose last level has all the words.
fn categories(counts: &Counts, highlighter: &Highlighter, limit: usize) -> Vec<Found> {
    let has_all = |path: &str| {
        let last = path.rsplit(LEVEL_SEPARATOR).next();
        last.is_some_and(|level| highlighter.finds_all(level))
    };
    let found = counts.categories().filter(|(path, _)| has_all(path));
    let found = found.map(|(path, count)| (path.replace(LEVEL_SEPARATOR, "/"), count));
    most(CompletionKind::Category, found, limit)
}

/// Brands that have all the words.
fn brands(counts: &Counts, highlighter: &Highlighter, limit: usize) -> Vec<Found> {
    let found = counts
        .brands()
        .filter(|(brand, _)| highlighter.finds_all(brand));
    let found = found.map(|(brand, count)| (brand.to_owned(), count));
    most(CompletionKind::Brand, found, limit)
}

fn most(
    kind: CompletionKind,
    found: impl Iterator<Item = (String, u64)>,
    limit: usize,
) -> Vec<Found> {
    let mut found: Vec<Found> = found.map(|(text, count)| (kind, text, count)).collect();
    found.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| a.1.cmp(&b.1)));
    found.truncate(limit);
    found
}

/// The names that match best, each once. What only a brand or a category made a match is none of what was typed.
fn products(
    searcher: &Searcher,
    mut names: Vec<NameFound>,
    highlighter: &Highlighter,
    limit: usize,
) -> Result<Vec<Found>, SearchError> {
    names.sort_unstable_by(NameFound::order);
    let best = names.into_iter().take(NAMES_SCANNED_MAX);
    let best = best.filter(|name| highlighter.finds_any(name.folded()));
    let mut found = Vec::new();
    for name in best.take(limit) {
        let document = fetch(searcher, name.address)?;
        let product = document.product.map(|product| product.name);
        found.extend(product.map(|text| (CompletionKind::Product, text, name.count)));
    }
    Ok(found)
}
