//! From a request to Tantivy's query.

use std::ops::Bound;

use tantivy::query::{
    BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, FuzzyTermQuery,
    Occur, Query, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Term};

use super::SearchRequest;
use super::index::fields;
use super::tokenizers::{fold, stem};
use crate::products::Status;

/// A shorter beginning of a word finds half the catalogue.
pub(super) const PREFIX_CHARS_MIN: usize = 2;

/// From how many characters on a word may have one typing error, and two.
const ONE_TYPO_CHARS_MIN: usize = 4;
const TWO_TYPOS_CHARS_MIN: usize = 8;

/// What a word found in one field adds to the score, beside its best one: a little, so that a
/// product that has it in name and brand comes before one that has it in the name only.
const TIE_BREAKER: Score = 0.1;

// Scores: the word itself before its stem, the name before everything else; whatever is guessed
// (rest of a word, typing errors) has a fixed score below all of those.
const EXACT_NAME_BOOST: Score = 5.0;
const NAME_BOOST: Score = 4.0;
const BRAND_BOOST: Score = 3.0;
const CATEGORY_BOOST: Score = 2.0;
const DESCRIPTION_BOOST: Score = 1.0;
const ANYWHERE_BOOST: Score = 1.0;
const NAME_PREFIX_SCORE: Score = 0.3;
const PREFIX_SCORE: Score = 0.2;
const NAME_TYPO_SCORE: Score = 0.1;
const TYPO_SCORE: Score = 0.05;
const SKU_BOOST: Score = 20.0;

/// How a search looks for its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    AsWritten,
    /// Also words that differ by a typing error or two. Only where nothing else is found: else a
    /// search for `beer` would find beets.
    WithTypos,
}

/// How many typing errors a word may have. Numbers have none: 1000 g is not 1500 g.
pub(super) fn typos_max(word: &str) -> u8 {
    let chars = word.chars().count();
    if chars < ONE_TYPO_CHARS_MIN || word.contains(|char: char| char.is_ascii_digit()) {
        0
    } else if chars < TWO_TYPOS_CHARS_MIN {
        1
    } else {
        2
    }
}

/// The query of a request: its words and every filter.
pub(super) fn build(
    request: &SearchRequest,
    words: &[String],
    spelling: Spelling,
) -> Box<dyn Query> {
    let mut clauses = filters(request);
    if let Some((last, complete)) = words.split_last() {
        let complete = complete
            .iter()
            .map(|word| word_query(word, false, spelling));
        let words = complete.chain([word_query(last, true, spelling)]);
        clauses.extend(words.map(|query| (Occur::Must, query)));
        let sku = TermQuery::new(
            Term::from_field_text(fields().sku, request.q.trim()),
            IndexRecordOption::Basic,
        );
        clauses.push((
            Occur::Should,
            Box::new(BoostQuery::new(Box::new(sku), SKU_BOOST)),
        ));
    } else if !request.q.trim().is_empty() {
        // Nothing but punctuation: there is no such product.
        return Box::new(EmptyQuery);
    }
    Box::new(BooleanQuery::new(clauses))
}

/// One word, in whichever field.
fn word_query(word: &str, last: bool, spelling: Spelling) -> Box<dyn Query> {
    let fields = fields();
    let stem = stem(word);
    let mut found: Vec<Box<dyn Query>> = vec![
        scored(fields.name_words, word, EXACT_NAME_BOOST),
        scored(fields.name, &stem, NAME_BOOST),
        scored(fields.brand, &stem, BRAND_BOOST),
        scored(fields.category, &stem, CATEGORY_BOOST),
        scored(fields.description, &stem, DESCRIPTION_BOOST),
        scored(fields.words, word, ANYWHERE_BOOST),
    ];
    let anywhere = [fields.name_words, fields.words];
    if last && word.chars().count() >= PREFIX_CHARS_MIN {
        for (field, score) in anywhere.into_iter().zip([NAME_PREFIX_SCORE, PREFIX_SCORE]) {
            let term = Term::from_field_text(field, word);
            found.push(constant(
                Box::new(FuzzyTermQuery::new_prefix(term, 0, true)),
                score,
            ));
        }
    }
    if spelling == Spelling::WithTypos {
        for typos in 1..=typos_max(word) {
            for (field, score) in anywhere.into_iter().zip([NAME_TYPO_SCORE, TYPO_SCORE]) {
                let term = Term::from_field_text(field, word);
                let query = if last {
                    FuzzyTermQuery::new_prefix(term, typos, true)
                } else {
                    FuzzyTermQuery::new(term, typos, true)
                };
                found.push(constant(Box::new(query), score / Score::from(typos)));
            }
        }
    }
    Box::new(DisjunctionMaxQuery::with_tie_breaker(found, TIE_BREAKER))
}

/// What must hold beside the words; none of it changes the score.
fn filters(request: &SearchRequest) -> Vec<(Occur, Box<dyn Query>)> {
    let fields = fields();
    let mut filters = vec![term_filter(fields.status, Status::Active.as_str())];
    if let Some(category) = &request.category {
        filters.push(term_filter(fields.category_key, &category_key(category)));
    }
    if !request.brand.is_empty() {
        let brands = request.brand.iter().map(|brand| fold(brand));
        filters.push(Box::new(TermSetQuery::new(
            brands.map(|brand| Term::from_field_text(fields.brand_key, &brand)),
        )));
    }
    if request.price_min.is_some() || request.price_max.is_some() {
        let bound = |price: Option<i64>| match price {
            Some(price) => Bound::Included(Term::from_field_i64(fields.price, price)),
            None => Bound::Unbounded,
        };
        filters.push(Box::new(RangeQuery::new(
            bound(request.price_min),
            bound(request.price_max),
        )));
    }
    if let Some(store_id) = &request.in_stock_at {
        filters.push(term_filter(fields.in_stock_at, store_id));
    }
    filters
        .into_iter()
        .map(|filter| (Occur::Must, constant(filter, 0.0)))
        .collect()
}

/// A category as it is filtered by: path or level, folded.
pub(super) fn category_key(category: &str) -> String {
    category.split('/').map(fold).collect::<Vec<_>>().join("/")
}

fn scored(field: Field, word: &str, boost: Score) -> Box<dyn Query> {
    let term = Term::from_field_text(field, word);
    let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
    Box::new(BoostQuery::new(Box::new(query), boost))
}

fn term_filter(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, text),
        IndexRecordOption::Basic,
    ))
}

fn constant(query: Box<dyn Query>, score: Score) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, score))
}
