//! Which words of a hit were found.
//!
//! The index says that a product matches, not where: beginnings of words and typing errors match
//! by automaton. So the words of the few hits that are shown are held against the query again.

use std::collections::BTreeMap;

use tantivy::snippet::{Snippet, SnippetGenerator};

use super::ProductPart;
use super::index::fields;
use super::query::PREFIX_CHARS_MIN;
use super::spelling::{Spelling, distance, typos_max};
use super::tokenizers::{folded, stem, words};

/// A description is cut down to this around the words found; about two lines.
const DESCRIPTION_BYTES_MAX: usize = 150;

const MARK: (&str, &str) = ("<em>", "</em>");

/// The words of a query, as they are recognised in a text.
pub(super) struct Highlighter {
    words: Vec<String>,
    stems: Vec<String>,
    spelling: Spelling,
}

impl Highlighter {
    pub(super) fn new(words: &[String], spelling: Spelling) -> Self {
        let stems = words.iter().map(|word| stem(word)).collect();
        Self {
            words: words.to_vec(),
            stems,
            spelling,
        }
    }

    /// The fields of a hit in which any word was found, as HTML.
    pub(super) fn highlights(&self, product: &ProductPart) -> BTreeMap<String, String> {
        let mut highlights = BTreeMap::new();
        if self.words.is_empty() {
            return highlights;
        }
        let mut add = |field: &str, html: Option<String>| {
            highlights.extend(html.map(|html| (field.to_owned(), html)));
        };
        add("name", self.whole(&product.name));
        add(
            "brand",
            product.brand.as_deref().and_then(|brand| self.whole(brand)),
        );
        add(
            "description",
            product
                .description
                .as_deref()
                .and_then(|text| self.excerpt(text)),
        );
        highlights
    }

    /// The whole text as HTML, with whatever was found marked.
    pub(super) fn marked(&self, text: &str) -> String {
        self.whole(text).unwrap_or_else(|| escape(text))
    }

    /// Whether a text has all the words.
    pub(super) fn finds_all(&self, text: &str) -> bool {
        let tokens = words(text);
        let found = |index| tokens.iter().any(|token| self.matches_word(index, token));
        (0..self.words.len()).all(found)
    }

    /// Whether a text has any of the words.
    pub(super) fn finds_any(&self, text: &str) -> bool {
        words(text).iter().any(|token| self.matches(token))
    }

    /// The whole text with its marks.
    fn whole(&self, text: &str) -> Option<String> {
        let snippet = self.snippet(text, text.len())?;
        // The snippet ends with its last word; what follows (a bracket, a full stop) belongs to it.
        let rest = &text[snippet.fragment_range().end..];
        Some(snippet.to_html() + &escape(rest))
    }

    /// The part of the text that has most of the words.
    fn excerpt(&self, text: &str) -> Option<String> {
        Some(self.snippet(text, DESCRIPTION_BYTES_MAX)?.to_html())
    }

    fn snippet(&self, text: &str, bytes_max: usize) -> Option<Snippet> {
        let found = words(text).into_iter().filter(|word| self.matches(word));
        let found: BTreeMap<String, f32> = found.map(|word| (word, 1.0)).collect();
        if found.is_empty() {
            return None;
        }
        let generator = SnippetGenerator::new(found, folded(), fields().words, bytes_max);
        let mut snippet = generator.snippet(text);
        snippet.set_snippet_prefix_postfix(MARK.0, MARK.1);
        Some(snippet)
    }

    fn matches(&self, token: &str) -> bool {
        (0..self.words.len()).any(|index| self.matches_word(index, token))
    }

    fn matches_word(&self, index: usize, token: &str) -> bool {
        let word = self.words[index].as_str();
        if word == token || self.stems[index] == stem(token) {
            return true;
        }
        let is_last = index + 1 == self.words.len();
        let is_beginning =
            is_last && word.chars().count() >= PREFIX_CHARS_MIN && token.starts_with(word);
        let is_misspelt = self.spelling.is_misspelt(index) && is_misspelling(word, token, is_last);
        is_beginning || is_misspelt
    }
}

/// Whether a word is a token, or its beginning, but for as many typing errors as it may have.
fn is_misspelling(word: &str, token: &str, or_beginning: bool) -> bool {
    let typos = usize::from(typos_max(word));
    if typos == 0 {
        return false;
    }
    let word: Vec<char> = word.chars().collect();
    let token: Vec<char> = token.chars().collect();
    let longest = token.len();
    let shortest = if or_beginning {
        word.len().saturating_sub(typos)
    } else {
        longest
    };
    let lengths = shortest..=longest.min(word.len() + typos);
    lengths
        .into_iter()
        .any(|length| distance(&word, &token[..length]) <= typos)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn highlight(query: &str, spelling: Spelling, text: &str) -> Option<String> {
        Highlighter::new(&words(query), spelling).whole(text)
    }

    /// The first word is, as far as it can be.
    fn misspelt() -> Spelling {
        let words = ["misspelt".to_owned()];
        let Ok(spelling) = Spelling::misspelt(&words, |_| Ok::<_, Infallible>(true));
        spelling
    }

    #[test]
    fn stems_and_beginnings_are_marked_and_the_rest_is_escaped() {
        assert_eq!(
            highlight(
                "onion cri",
                Spelling::AS_WRITTEN,
                "<Onions> & Crisps (\"salt\")"
            )
            .as_deref(),
            Some("&lt;<em>Onions</em>&gt; &amp; <em>Crisps</em> (&quot;salt&quot;)")
        );
    }

    #[test]
    fn only_the_last_word_may_be_a_beginning() {
        assert_eq!(highlight("cri onion", Spelling::AS_WRITTEN, "Crisps"), None);
    }

    #[test]
    fn a_misspelt_word_is_marked_where_it_was_found_so() {
        assert_eq!(highlight("tomatoe", Spelling::AS_WRITTEN, "Tomaten"), None);
        assert_eq!(
            highlight("choclat milk", misspelt(), "Chocolat Milk").as_deref(),
            Some("<em>Chocolat</em> <em>Milk</em>")
        );
        assert_eq!(
            highlight("choclat", misspelt(), "Chocolate").as_deref(),
            Some("<em>Chocolate</em>")
        );
    }
}
