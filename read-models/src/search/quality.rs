//! Known items: how well a search finds what it is known to hold.
//!
//! Queries are made from the names of a catalogue: a name as it is, a name that is being typed, and a name with a
//! typing error. The score of a query is one by the rank of the first hit that is what was looked for, and nothing
//! from the eleventh on (mean reciprocal rank, MRR@10).

use std::collections::BTreeSet;
use std::ops::Range;

use super::tokenizers::fold;

/// Hits that are looked at.
pub const DEPTH: usize = 10;

/// A name that is being typed ends in a word of at least so many letters, of which
const CUT_WORD_LETTERS_MIN: usize = 6;
/// so many are there.
const CUT_LETTERS: usize = 4;

/// A word may have a typing error from so many letters on.
const TYPO_WORD_LETTERS_MIN: usize = 5;

/// Attempts to draw a typing error that changes the name: two equal letters swapped change nothing.
const TYPO_ATTEMPTS_MAX: usize = 100;

/// A query, and what it looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownItem {
    pub query: String,
    target: Target,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Any product of this name.
    Name(String),
    /// Any product whose folded name begins so.
    Beginning(String),
}

/// Queries of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownItems {
    pub items: Vec<KnownItem>,
    /// Sampled names of which no such query can be made.
    pub left_out: usize,
}

/// Queries of every kind, from one sample of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The name itself.
    pub exact: KnownItems,
    /// The name up to its first word of six letters or more, that word up to its fourth.
    pub cut: KnownItems,
    /// The name with one letter inserted, left out, replaced, or swapped with its neighbour, in a word of five letters
    /// or more.
    pub typo: KnownItems,
}

impl KnownItem {
    /// One by the rank of the first of these names that was looked for, 0.0 if none of the first ten is.
    pub fn reciprocal_rank<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> f64 {
        let first = names
            .into_iter()
            .take(DEPTH)
            .position(|name| self.is_found_by(name));
        let rank = first.and_then(|index| u32::try_from(index + 1).ok());
        rank.map_or(0.0, |rank| 1.0 / f64::from(rank))
    }

    fn is_found_by(&self, name: &str) -> bool {
        match &self.target {
            Target::Name(wanted) => wanted == name,
            Target::Beginning(wanted) => fold(name).starts_with(wanted),
        }
    }
}

/// 0.0 of none.
pub fn mean(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values.iter().sum::<f64>() / f64::from(count.max(1))
}

impl Evaluation {
    /// Queries from so many of the distinct names, drawn by the seed: the same ones on every machine.
    pub fn sample(names: impl IntoIterator<Item = String>, size: usize, seed: u64) -> Self {
        let distinct: BTreeSet<String> = names.into_iter().collect();
        let mut names: Vec<String> = distinct.into_iter().collect();
        let mut random = Random(seed);
        let size = size.min(names.len());
        for index in 0..size {
            let other = index + random.below(names.len() - index);
            names.swap(index, other);
        }
        let mut evaluation = Self::default();
        for name in names.into_iter().take(size) {
            evaluation.cut.add(cut(&name));
            evaluation.typo.add(misspelt(&name, &mut random));
            evaluation.exact.add(Some(KnownItem {
                query: name.clone(),
                target: Target::Name(name),
            }));
        }
        evaluation
    }
}

impl KnownItems {
    fn add(&mut self, item: Option<KnownItem>) {
        match item {
            Some(item) => self.items.push(item),
            None => self.left_out += 1,
        }
    }
}

fn cut(name: &str) -> Option<KnownItem> {
    let word = letters(name, CUT_WORD_LETTERS_MIN).next()?;
    let (end, _) = name[word.clone()].char_indices().nth(CUT_LETTERS)?;
    let query = &name[..word.start + end];
    Some(KnownItem {
        query: query.to_owned(),
        target: Target::Beginning(fold(query)),
    })
}

fn misspelt(name: &str, random: &mut Random) -> Option<KnownItem> {
    let words: Vec<Range<usize>> = letters(name, TYPO_WORD_LETTERS_MIN).collect();
    if words.is_empty() {
        return None;
    }
    for _ in 0..TYPO_ATTEMPTS_MAX {
        let word = words[random.below(words.len())].clone();
        let wrong = mistype(&name[word.clone()], random);
        let query = format!("{}{wrong}{}", &name[..word.start], &name[word.end..]);
        if fold(&query) != fold(name) {
            let target = Target::Name(name.to_owned());
            return Some(KnownItem { query, target });
        }
    }
    None
}

fn mistype(word: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    match random.below(4) {
        0 => letters.insert(random.below(letters.len() + 1), random.letter()),
        1 => drop(letters.remove(random.below(letters.len()))),
        2 => {
            let index = random.below(letters.len());
            letters[index] = random.letter();
        }
        _ => {
            let index = random.below(letters.len() - 1);
            letters.swap(index, index + 1);
        }
    }
    letters.into_iter().collect()
}

/// Where the runs of at least so many letters are.
fn letters(text: &str, letters_min: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut end = 0;
    text.split(|char: char| !char.is_alphabetic())
        .map(move |run| {
            // Whatever separates two runs is one character.
            let start = end;
            let separator = text[start + run.len()..].chars().next();
            end = start + run.len() + separator.map_or(0, char::len_utf8);
            (start, run)
        })
        .filter(move |(_, run)| run.chars().count() >= letters_min)
        .map(|(start, run)| start..start + run.len())
}

/// SplitMix64: the same numbers from one seed whatever the versions of libraries.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below the bound, which is above 0. The bias is one in 2^64 by the bound.
    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap_or_default()
    }

    fn letter(&mut self) -> char {
        char::from(b'a' + u8::try_from(self.below(26)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(names: &[&str]) -> Evaluation {
        let names = names.iter().map(|&name| name.to_owned());
        Evaluation::sample(names, usize::MAX, 7)
    }

    #[test]
    fn a_name_is_cut_in_its_first_long_word() {
        let query = |name| cut(name).map(|item| item.query);
        assert_eq!(
            query("Ice - Crushed / Cubed 22 lb").as_deref(),
            Some("Ice - Crus")
        );
        assert_eq!(query("Crème Brûlée").as_deref(), Some("Crème Brûl"));
        assert_eq!(query("Soup 12 oz"), None);
        let item = cut("Crème Brûlée").unwrap();
        assert!(item.is_found_by("creme BRULOT") && !item.is_found_by("A Crème Brûlée"));
    }

    #[test]
    fn a_typing_error_is_one_and_never_in_a_number() {
        let mut random = Random(1);
        for _ in 0..500 {
            let item = misspelt("Soup 10000 Tomato", &mut random).unwrap();
            let rest = item.query.strip_prefix("Soup 10000 ").unwrap();
            assert_ne!(rest, "Tomato");
            assert!((5..=7).contains(&rest.chars().count()), "{rest}");
        }
        assert_eq!(misspelt("Soup 100000", &mut random), None);
    }

    #[test]
    fn a_sample_is_of_distinct_names_and_the_same_for_one_seed() {
        let evaluation = sample(&["Tomato Soup", "Soup", "Tomato Soup", "Onions"]);
        assert_eq!(evaluation.exact.items.len(), 3);
        assert_eq!(
            (evaluation.cut.items.len(), evaluation.cut.left_out),
            (2, 1)
        );
        assert_eq!(
            (evaluation.typo.items.len(), evaluation.typo.left_out),
            (2, 1)
        );
        assert_eq!(evaluation, sample(&["Soup", "Onions", "Tomato Soup"]));
    }

    #[test]
    fn the_first_hit_counts_and_the_eleventh_does_not() {
        let item = KnownItem {
            query: String::new(),
            target: Target::Name("x".to_owned()),
        };
        let names = |misses: usize| std::iter::repeat_n("y", misses).chain(["x", "x"]);
        assert!((item.reciprocal_rank(names(0)) - 1.0).abs() < 1e-9);
        assert!((item.reciprocal_rank(names(3)) - 0.25).abs() < 1e-9);
        assert!((item.reciprocal_rank(names(9)) - 0.1).abs() < 1e-9);
        assert!(item.reciprocal_rank(names(10)).abs() < 1e-9);
    }
}
