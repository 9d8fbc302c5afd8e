//! Reasons as text: one line, of bounded length, without an address.

use std::error::Error;

/// An error's chain of causes is kept as text, in events too: cut there.
const REASON_CHARS_MAX: usize = 300;

/// An error with its causes, in one line of bounded length.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    line(&text)
}

/// What is at the bottom of an error: the layers above it only say that something failed. What it says of the server's
/// address is left out, since the operator knows it and others need not.
pub(crate) fn root_cause(error: &(dyn Error + 'static), host: &str) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    line(&cause.to_string().replace(host, "the server"))
}

/// Foreign text as one line of bounded length, fit for events and logs.
#[must_use]
pub fn line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(line(" card\r\n\tdeclined \u{7} "), "card declined");
        assert_eq!(line(&"ä".repeat(301)).chars().count(), 301);
        assert!(line(&"ä".repeat(301)).ends_with('…'));
    }

    #[test]
    fn a_reason_names_no_host() {
        let error = std::io::Error::other("certificate not valid for name \"pay.example.org\"");
        let told = root_cause(&error, "pay.example.org");
        assert_eq!(told, "certificate not valid for name \"the server\"");
    }
}
