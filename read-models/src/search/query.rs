//! From a request to Tantivy's query.

use std::ops::Bound;

use tantivy::query::{
    BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, FuzzyTermQuery, Occur,
    PhraseQuery, Query, RangeQuery, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{Score, Term};

use super::SearchRequest;
use super::index::{category_key, fields};
use super::ranking::{self, Ranking};
use super::spelling::{Spelling, typos_max};
use super::tokenizers::{fold, stem};
use crate::products::Status;

/// A shorter beginning of a word finds half the catalogue.
pub(super) const PREFIX_CHARS_MIN: usize = 2;

/// A whole name with a typing error is looked for up to this length: the automaton that finds it grows with it.
const MISSPELT_NAME_CHARS_MAX: usize = 64;

/// As many as Tantivy's automata can.
const NAME_TYPOS_MAX: u8 = 2;

type Clause = (Occur, Box<dyn Query>);

/// The query of a request: its words and every filter.
pub(super) fn build(
    request: &SearchRequest,
    words: &[String],
    spelling: Spelling,
    ranking: Ranking,
) -> Box<dyn Query> {
    let mut clauses = filters(request);
    if words.is_empty() && !request.q.trim().is_empty() {
        // Nothing but punctuation: there is no such product.
        return Box::new(EmptyQuery);
    }
    for index in 0..words.len() {
        clauses.push((Occur::Must, word_query(words, index, spelling, ranking)));
    }
    if !words.is_empty() {
        clauses.extend(name_queries(words, spelling, ranking));
        clauses.push(optional(term(fields().sku, request.q.trim()), ranking::SKU));
    }
    Box::new(BooleanQuery::new(clauses))
}

/// One word by itself, whatever else is asked for.
pub(super) fn build_one(words: &[String], index: usize) -> Box<dyn Query> {
    let mut clauses = filters(&SearchRequest::default());
    let word = word_query(words, index, Spelling::AS_WRITTEN, Ranking::ALL);
    clauses.push((Occur::Must, word));
    Box::new(BooleanQuery::new(clauses))
}

/// One word, in whichever field.
fn word_query(
    words: &[String],
    index: usize,
    spelling: Spelling,
    ranking: Ranking,
) -> Box<dyn Query> {
    let (fields, word) = (fields(), words[index].as_str());
    let last = index + 1 == words.len();
    let weight = |weight: Score| {
        if ranking.fields {
            weight
        } else {
            ranking::ELSEWHERE
        }
    };
    let mut found: Vec<Box<dyn Query>> = vec![
        constant(term(fields.name_words, word), weight(ranking::NAME_WORD)),
        constant(term(fields.words, word), weight(ranking::ELSEWHERE)),
    ];
    if ranking.stems {
        let stem = stem(word);
        for (field, score) in [
            (fields.name, ranking::NAME_STEM),
            (fields.brand, ranking::BRAND),
            (fields.category, ranking::CATEGORY),
            (fields.description, ranking::DESCRIPTION),
        ] {
            found.push(constant(term(field, &stem), weight(score)));
        }
    }
    let mut guess = |score_in_name, score, typos, unfinished| {
        for (field, score) in [(fields.name_words, score_in_name), (fields.words, score)] {
            found.push(constant(similar(field, word, typos, unfinished), score));
        }
    };
    let unfinished = last && ranking.prefixes;
    if unfinished && word.chars().count() >= PREFIX_CHARS_MIN {
        guess(ranking::NAME_PREFIX, ranking::PREFIX, 0, true);
    }
    if spelling.is_misspelt(index) {
        for typos in 1..=typos_max(word) {
            let nearer = Score::from(typos);
            guess(
                ranking::NAME_TYPO / nearer,
                ranking::TYPO / nearer,
                typos,
                unfinished,
            );
        }
    }
    Box::new(DisjunctionMaxQuery::with_tie_breaker(
        found,
        ranking::FURTHER_FIELDS,
    ))
}

/// The words together, as a name. Nothing of it must hold.
fn name_queries(words: &[String], spelling: Spelling, ranking: Ranking) -> Vec<Clause> {
    let name = words.join(" ");
    let chars = name.chars().count();
    let misspelt = (0..words.len()).filter(|index| spelling.is_misspelt(*index));
    let typos = misspelt
        .map(|index| typos_max(&words[index]))
        .sum::<u8>()
        .min(NAME_TYPOS_MAX);
    let typos = if chars > MISSPELT_NAME_CHARS_MAX {
        0
    } else {
        typos
    };
    let key = fields().name_key;
    let mut clauses = Vec::new();
    if ranking.whole_name {
        let query = if typos == 0 {
            term(key, &name)
        } else {
            similar(key, &name, typos, false)
        };
        clauses.push(optional(query, ranking::WHOLE_NAME));
    }
    if ranking.name_beginning && chars >= PREFIX_CHARS_MIN {
        clauses.push(optional(
            similar(key, &name, typos, true),
            ranking::NAME_BEGINNING,
        ));
    }
    if ranking.phrase && words.len() > 1 {
        let stems = words
            .iter()
            .map(|word| Term::from_field_text(fields().name, &stem(word)));
        let phrase = PhraseQuery::new(stems.collect());
        clauses.push(optional(Box::new(phrase), ranking::PHRASE));
    }
    clauses
}

/// What must hold beside the words; none of it changes the score.
fn filters(request: &SearchRequest) -> Vec<Clause> {
    let fields = fields();
    let mut filters = vec![term(fields.status, Status::Active.as_str())];
    if let Some(category) = &request.category {
        filters.push(term(fields.category_key, &category_key(category)));
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
        filters.push(term(fields.in_stock_at, store_id));
    }
    filters
        .into_iter()
        .map(|filter| (Occur::Must, constant(filter, 0.0)))
        .collect()
}

fn term(field: Field, text: &str) -> Box<dyn Query> {
    Box::new(TermQuery::new(
        Term::from_field_text(field, text),
        IndexRecordOption::Basic,
    ))
}

/// Terms that differ by at most so many typing errors, or begin so.
fn similar(field: Field, text: &str, typos: u8, unfinished: bool) -> Box<dyn Query> {
    Box::new(automaton(field, text, typos, unfinished))
}

pub(super) fn automaton(field: Field, text: &str, typos: u8, unfinished: bool) -> FuzzyTermQuery {
    let term = Term::from_field_text(field, text);
    if unfinished {
        FuzzyTermQuery::new_prefix(term, typos, true)
    } else {
        FuzzyTermQuery::new(term, typos, true)
    }
}

fn optional(query: Box<dyn Query>, score: Score) -> Clause {
    (Occur::Should, constant(query, score))
}

fn constant(query: Box<dyn Query>, score: Score) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(query, score))
}
