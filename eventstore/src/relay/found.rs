//! Which positions Kafka holds beyond a checkpoint: a bit for each, since a refill may find millions.

/// A set of positions after a base.
#[derive(Debug)]
pub(super) struct Found {
    base: i64,
    words: Vec<u64>,
}

impl Found {
    pub(super) fn after(base: i64) -> Self {
        Self {
            base,
            words: Vec::new(),
        }
    }

    /// Positions at or below the base are not kept.
    pub(super) fn insert(&mut self, position: i64) {
        let Some((word, bit)) = self.place(position) else {
            return;
        };
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
    }

    pub(super) fn contains(&self, position: i64) -> bool {
        self.place(position)
            .and_then(|(word, bit)| Some(self.words.get(word)? & bit != 0))
            .unwrap_or(false)
    }

    fn place(&self, position: i64) -> Option<(usize, u64)> {
        let index = usize::try_from(position.checked_sub(self.base)?.checked_sub(1)?).ok()?;
        Some((index / 64, 1 << (index % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_found_and_nothing_else() {
        let mut found = Found::after(100);
        for position in [7, 100, 101, 164, 165, 400] {
            found.insert(position);
        }
        let held: Vec<i64> = (0..500)
            .filter(|position| found.contains(*position))
            .collect();
        assert_eq!(held, [101, 164, 165, 400]);
    }
}
