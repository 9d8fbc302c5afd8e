//! An error as the one line that a person or a log sees.

/// The error with its causes, on one line. A cause that its successor already quotes is not said twice.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    let mut said = String::new();
    for cause in error.chain() {
        let text = flat(&cause.to_string());
        if text.is_empty() || said.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
        said = text;
    }
    line
}

/// The text without line breaks.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the database says: {0}")]
    struct Quoting(#[source] std::io::Error);

    #[test]
    fn causes_stand_on_one_line_and_only_once() {
        let error = Err::<(), _>(Quoting(std::io::Error::other("no such\nrole")))
            .context("open the log")
            .unwrap_err();
        assert_eq!(
            one_line(&error),
            "open the log: the database says: no such role"
        );
    }
}
