//! Why something was done by hand.

use crate::Invalid;
use crate::text::{line, text_value};

/// A sentence; longer explanations belong where people talk.
const LENGTH_MAX: usize = 200;

text_value! {
    /// Why a person did something, in their words: trimmed, 1 to 200 characters. Kept readable in the log, so not the
    /// place for personal data.
    Reason, parse
}

fn parse(raw: String) -> Result<String, Invalid> {
    line("reason", raw, LENGTH_MAX)
}
