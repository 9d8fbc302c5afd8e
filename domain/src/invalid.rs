//! The refusal of every value type.

/// A value that breaks its type's rule. Reads as "quantity must be a whole number from 1 to 1000000".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {rule}")]
pub struct Invalid {
    what: &'static str,
    rule: String,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, rule: impl Into<String>) -> Self {
        Self {
            what,
            rule: rule.into(),
        }
    }

    /// The type that refused, as `e-mail`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// What the type allows, as a predicate: `must be …`. Never repeats the value, which may be personal.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }
}
