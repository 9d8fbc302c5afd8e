//! How text becomes words: lower case, without accents, and for most fields stemmed.

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RawTokenizer, Stemmer, TextAnalyzer, Token,
    TokenStream, Tokenizer, TokenizerManager,
};

/// Tokenizer of fields that are matched by stem.
pub(super) const STEMMED: &str = "nakku_stemmed";
/// Tokenizer of fields that are matched by whole words, their beginnings, and with typing errors.
pub(super) const FOLDED: &str = "nakku_folded";

pub(super) fn register(tokenizers: &TokenizerManager) {
    tokenizers.register(STEMMED, stemmed());
    tokenizers.register(FOLDED, folded());
}

pub(super) fn folded() -> TextAnalyzer {
    TextAnalyzer::builder(WordTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build()
}

fn stemmed() -> TextAnalyzer {
    TextAnalyzer::builder(WordTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .filter(Stemmer::new(Language::English))
        .build()
}

/// The words of a text, in order, folded but not stemmed.
pub(super) fn words(text: &str) -> Vec<String> {
    tokens(folded(), text)
}

/// The stem of one folded word.
pub(super) fn stem(word: &str) -> String {
    tokens(stemmed(), word).pop().unwrap_or_default()
}

/// A whole text folded, for names that are compared as one.
pub(super) fn fold(text: &str) -> String {
    let analyzer = TextAnalyzer::builder(RawTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build();
    tokens(analyzer, text.trim()).pop().unwrap_or_default()
}

fn tokens(mut analyzer: TextAnalyzer, text: &str) -> Vec<String> {
    let mut stream = analyzer.token_stream(text);
    let mut tokens = Vec::new();
    while let Some(token) = stream.next() {
        tokens.push(token.text.clone());
    }
    tokens
}

/// Splits at everything that is neither letter nor digit, with two exceptions that Tantivy's own
/// tokenizer does not make: combining marks belong to their letter (text may come decomposed) and
/// an apostrophe does not end a word (`Jerry's` is `jerrys`, not `jerry` and `s`). Chinese and Japanese
/// are written without blanks: there each character is a word.
#[derive(Clone, Default)]
pub(super) struct WordTokenizer {
    token: Token,
}

pub(super) struct WordStream<'a> {
    text: &'a str,
    offset: usize,
    token: &'a mut Token,
}

impl Tokenizer for WordTokenizer {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        self.token.reset();
        WordStream {
            text,
            offset: 0,
            token: &mut self.token,
        }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        self.token.text.clear();
        self.token.position = self.token.position.wrapping_add(1);
        let Some(skipped) = self.text[self.offset..].find(char::is_alphanumeric) else {
            self.offset = self.text.len();
            return false;
        };
        let start = self.offset + skipped;
        let mut end = start;
        let mut chars = self.text[start..].char_indices().peekable();
        while let Some((at, char)) = chars.next() {
            if is_word(char) {
                if at > 0 {
                    break;
                }
                self.token.text.push(char);
                end = start + char.len_utf8();
                break;
            }
            if char.is_alphanumeric() {
                self.token.text.push(char);
            } else if is_apostrophe(char) {
                if !chars.peek().is_some_and(|(_, next)| next.is_alphanumeric()) {
                    break;
                }
            } else if !is_combining_mark(char) {
                break;
            }
            end = start + at + char.len_utf8();
        }
        self.offset = end;
        self.token.offset_from = start;
        self.token.offset_to = end;
        true
    }

    fn token(&self) -> &Token {
        self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        self.token
    }
}

fn is_apostrophe(char: char) -> bool {
    matches!(char, '\'' | '\u{2019}')
}

/// Han characters and kana.
fn is_word(char: char) -> bool {
    matches!(
        char,
        '\u{3041}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}'
    ) && char.is_alphanumeric()
}

fn is_combining_mark(char: char) -> bool {
    matches!(char, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lower_case_and_without_accents() {
        assert_eq!(
            words("Crème BRÛLÉE, 2 x 100 g"),
            ["creme", "brulee", "2", "x", "100", "g"]
        );
    }

    #[test]
    fn decomposed_letters_stay_in_their_word() {
        assert_eq!(
            words("Cre\u{300}me bru\u{302}le\u{301}e"),
            ["creme", "brulee"]
        );
    }

    #[test]
    fn an_apostrophe_joins_and_a_quote_separates() {
        assert_eq!(
            words("Ben & Jerry's 'n’ friends'"),
            ["ben", "jerrys", "n", "friends"]
        );
    }

    #[test]
    fn where_nobody_writes_blanks_each_character_is_a_word() {
        assert_eq!(words("全脂牛奶1L装"), ["全", "脂", "牛", "奶", "1l", "装"]);
        assert_eq!(words("カフェ・ラテ"), ["カ", "フ", "ェ", "ラ", "テ"]);
        assert_eq!(words("우유 молоко حليب"), ["우유", "молоко", "حليب"]);
    }

    #[test]
    fn stems_join_singular_and_plural() {
        assert_eq!(stem("onions"), stem("onion"));
        assert_eq!(stem("berries"), stem("berry"));
    }

    #[test]
    fn names_fold_as_a_whole() {
        assert_eq!(fold("  Ben & Jerry's Café "), "ben & jerry's cafe");
    }
}
