//! Which words of a query are taken for misspelt.

use serde::{Deserialize, Serialize};

/// From how many characters on a word may have one typing error, and two.
const ONE_TYPO_CHARS_MIN: usize = 4;
const TWO_TYPOS_CHARS_MIN: usize = 8;

/// A longer word is no word; the automaton that finds its neighbours grows with it.
const TYPO_CHARS_MAX: usize = 32;

/// The words that are looked for with typing errors too: a bit each, from the first word on.
///
/// Only where nothing else is found: else a search for `beer` would find beets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Spelling(u32);

impl Spelling {
    /// Every word is meant as it is written.
    pub(super) const AS_WRITTEN: Self = Self(0);

    /// Those words may be misspelt for which it holds, and which are such that a typing error can be told.
    pub(super) fn misspelt<E>(
        words: &[String],
        mut holds: impl FnMut(usize) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut bits = 0;
        for (index, word) in words.iter().enumerate() {
            if typos_max(word) > 0 && holds(index)? {
                bits |= bit(index);
            }
        }
        Ok(Self(bits))
    }

    pub(super) fn is_misspelt(self, index: usize) -> bool {
        self.0 & bit(index) != 0
    }
}

/// Words beyond the 32nd are meant as they are written; a query has no more.
fn bit(index: usize) -> u32 {
    u32::try_from(index).map_or(0, |index| 1_u32.checked_shl(index).unwrap_or(0))
}

/// How many typing errors a word may have. Numbers have none: 1000 g is not 1500 g.
pub(super) fn typos_max(word: &str) -> u8 {
    let chars = word.chars().count();
    let is_number = word.contains(|char: char| char.is_ascii_digit());
    if is_number || !(ONE_TYPO_CHARS_MIN..=TYPO_CHARS_MAX).contains(&chars) {
        0
    } else if chars < TWO_TYPOS_CHARS_MIN {
        1
    } else {
        2
    }
}

/// Letters to insert, delete, replace, or swap with their neighbour.
pub(super) fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn neighbours_swapped_are_one_error() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("onoin"), &chars("onion")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
    }

    #[test]
    fn neither_numbers_nor_short_words_nor_endless_ones_are_misspelt() {
        let words = ["beer", "ipa", "1000g", &"a".repeat(33)].map(str::to_owned);
        let spelling = Spelling::misspelt(&words, |_| Ok::<_, Infallible>(true));
        let Ok(spelling) = spelling;
        let misspelt: Vec<bool> = (0..40).map(|index| spelling.is_misspelt(index)).collect();
        assert!(misspelt[0] && !misspelt[1..].contains(&true));
    }
}
