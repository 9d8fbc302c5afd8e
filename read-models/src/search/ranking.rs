//! What makes one hit better than another.
//!
//! A score is the sum of fixed weights: it depends on the query and the product and on nothing else, not on how often a
//! word occurs in the index, nor on what else is in it. So a hit keeps its place while other products come and go, in
//! every generation and after a restart, and a cursor needs to know no more than the last hit of its page. All weights
//! are multiples of a power of two, which makes their sums exact in whatever order they are added up.

use tantivy::Score;

/// The name is the query, all of it.
pub(super) const WHOLE_NAME: Score = 128.0;
/// The name begins with the query.
pub(super) const NAME_BEGINNING: Score = 24.0;
/// The words stand in the name side by side, as in the query.
pub(super) const PHRASE: Score = 32.0;
/// The query is a product's SKU.
pub(super) const SKU: Score = 1_024.0;

// A word: as it is written before its stem, the name before everything else, and whatever is guessed (the rest of a
// word, a typing error) behind all of that.
pub(super) const NAME_WORD: Score = 64.0;
pub(super) const NAME_STEM: Score = 56.0;
pub(super) const BRAND: Score = 48.0;
pub(super) const CATEGORY: Score = 32.0;
pub(super) const DESCRIPTION: Score = 16.0;
pub(super) const ELSEWHERE: Score = 16.0;
pub(super) const NAME_PREFIX: Score = 8.0;
pub(super) const PREFIX: Score = 6.0;
pub(super) const NAME_TYPO: Score = 4.0;
pub(super) const TYPO: Score = 2.0;

/// What a word found in one more field adds of its weight there: a little, so that a product that has it in name and
/// category comes before one that has it in the name only.
pub(super) const FURTHER_FIELDS: Score = 0.125;

/// The parts of the ranking, each of which can be left out to see what it is worth. Searches of users have them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranking {
    /// A name that is the query comes first.
    pub whole_name: bool,
    /// A name that begins with the query comes before one that has its words somewhere.
    pub name_beginning: bool,
    /// Words side by side come before scattered ones.
    pub phrase: bool,
    /// A word in the name counts more than one in another field.
    pub fields: bool,
    /// Singular finds plural.
    pub stems: bool,
    /// The last word may be unfinished.
    pub prefixes: bool,
    /// Words may be misspelt.
    pub typos: bool,
    /// Of equal ones the shorter name comes first.
    pub shorter_first: bool,
}

impl Ranking {
    /// Everything.
    pub const ALL: Self = Self {
        whole_name: true,
        name_beginning: true,
        phrase: true,
        fields: true,
        stems: true,
        prefixes: true,
        typos: true,
        shorter_first: true,
    };

    /// Words as they are written, for counting what a spelling finds.
    pub(super) const WHOLE_WORDS: Self = Self {
        prefixes: false,
        ..Self::ALL
    };

    /// Rankings that lack one part each, by the name of the part.
    pub const WITHOUT_ONE: [(&'static str, Self); 8] = [
        (
            "whole name",
            Self {
                whole_name: false,
                ..Self::ALL
            },
        ),
        (
            "beginning of the name",
            Self {
                name_beginning: false,
                ..Self::ALL
            },
        ),
        (
            "words side by side",
            Self {
                phrase: false,
                ..Self::ALL
            },
        ),
        (
            "weights of fields",
            Self {
                fields: false,
                ..Self::ALL
            },
        ),
        (
            "stems",
            Self {
                stems: false,
                ..Self::ALL
            },
        ),
        (
            "unfinished last word",
            Self {
                prefixes: false,
                ..Self::ALL
            },
        ),
        (
            "typing errors",
            Self {
                typos: false,
                ..Self::ALL
            },
        ),
        (
            "shorter names first",
            Self {
                shorter_first: false,
                ..Self::ALL
            },
        ),
    ];
}

impl Default for Ranking {
    fn default() -> Self {
        Self::ALL
    }
}
