//! What a misspelt query may have meant.

use std::collections::{BTreeSet, HashMap, HashSet};

use tantivy::TantivyError;

use super::index::fields;
use super::query::automaton;
use super::spelling::{Spelling, distance, typos_max};
use super::suggest::Correction;
use super::tokenizers::stem;
use super::{Ranking, Snapshot};

/// A query that finds no more than this may be misspelt, although there is a product.
const FOUND_MAX: u64 = 2;

/// Words that are tried in place of one.
const ALTERNATIVES_MAX: usize = 3;

/// Spellings of a query that are tried; each is counted, which is what they cost.
const ATTEMPTS_MAX: usize = 12;

const CORRECTIONS_MAX: usize = 3;

/// A word that may have been meant.
struct Alternative {
    word: String,
    /// Typing errors that lie between.
    errors: usize,
}

impl Snapshot {
    /// Other spellings of words that find more than the words as they are written, nearest first.
    pub(super) fn corrections(
        &self,
        words: &[String],
        found: u64,
    ) -> tantivy::Result<Vec<Correction>> {
        if found > FOUND_MAX {
            return Ok(Vec::new());
        }
        let spelling = if found == 0 {
            self.spelling(words, Ranking::ALL)?
        } else {
            Spelling::misspelt(words, |_| Ok::<_, TantivyError>(true))?
        };
        let mut alternatives = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let is_misspelt = spelling.is_misspelt(index);
            alternatives.push(if is_misspelt {
                self.alternatives(word)?
            } else {
                Vec::new()
            });
        }
        let mut corrections = Vec::new();
        for (attempt, errors) in attempts(words, &alternatives) {
            let ranking = Ranking::WHOLE_WORDS;
            let count = self.count(&attempt, Spelling::AS_WRITTEN, ranking)? as u64;
            if count > found {
                corrections.push((errors, count, attempt.join(" ")));
            }
        }
        corrections.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        corrections.truncate(CORRECTIONS_MAX);
        let corrections = corrections.into_iter();
        Ok(corrections
            .map(|(_, count, text)| Correction { text, count })
            .collect())
    }

    /// The words of the index that are nearest; of equally near ones those that most documents have.
    fn alternatives(&self, word: &str) -> tantivy::Result<Vec<Alternative>> {
        let mut documents: HashMap<String, u64> = HashMap::new();
        let query = automaton(fields().words, word, typos_max(word), false);
        for segment in self.searcher().segment_readers() {
            let index = segment.inverted_index(fields().words)?;
            let mut terms = index.terms().search(query.automaton()?).into_stream()?;
            while terms.advance() {
                if let Ok(term) = std::str::from_utf8(terms.key())
                    && term != word
                {
                    let documents = documents.entry(term.to_owned()).or_default();
                    *documents += u64::from(terms.value().doc_freq);
                }
            }
        }
        let letters: Vec<char> = word.chars().collect();
        let errors = |other: &str| distance(&letters, &other.chars().collect::<Vec<_>>());
        let mut found: Vec<(usize, u64, String)> = documents
            .into_iter()
            .map(|(word, documents)| (errors(&word), documents, word))
            .collect();
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        // Singular and plural find the same.
        let mut stems = HashSet::new();
        let found = found
            .into_iter()
            .filter(|(.., word)| stems.insert(stem(word)));
        Ok(found
            .take(ALTERNATIVES_MAX)
            .map(|(errors, _, word)| Alternative { word, errors })
            .collect())
    }
}

/// The query with the best word in every place, and with one word changed at a time; each with its typing errors.
fn attempts(words: &[String], alternatives: &[Vec<Alternative>]) -> Vec<(Vec<String>, usize)> {
    let mut best = (words.to_vec(), 0);
    for (index, alternatives) in alternatives.iter().enumerate() {
        if let Some(first) = alternatives.first() {
            best.0[index].clone_from(&first.word);
            best.1 += first.errors;
        }
    }
    let mut seen = BTreeSet::from([words.to_vec()]);
    let mut order = Vec::new();
    let mut add = |attempt: Vec<String>, errors: usize| {
        if seen.insert(attempt.clone()) {
            order.push((attempt, errors));
        }
    };
    add(best.0.clone(), best.1);
    for (index, alternatives) in alternatives.iter().enumerate() {
        for alternative in alternatives {
            let mut one = words.to_vec();
            one[index].clone_from(&alternative.word);
            add(one, alternative.errors);
        }
    }
    for (index, alternatives) in alternatives.iter().enumerate() {
        for alternative in alternatives.iter().skip(1) {
            let mut other = best.0.clone();
            other[index].clone_from(&alternative.word);
            add(other, best.1 - alternatives[0].errors + alternative.errors);
        }
    }
    order.truncate(ATTEMPTS_MAX);
    order
}
