//! Where a product stands in the shop.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::text::line;

/// Deeper trees are not browsed, and each level is a facet to be counted.
const LEVELS_MAX: usize = 5;
const LEVEL_LENGTH_MAX: usize = 100;

/// A path from the widest category to the narrowest, as `["Grocery","Apples"]`: at most 5 levels of 1 to 100 characters,
/// trimmed. Empty: not sorted in anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Category(Vec<String>);

impl Category {
    /// The levels, widest first.
    #[must_use]
    pub fn levels(&self) -> &[String] {
        &self.0
    }

    /// Whether the product is not sorted in anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryFrom<Vec<String>> for Category {
    type Error = Invalid;

    fn try_from(levels: Vec<String>) -> Result<Self, Invalid> {
        if levels.len() > LEVELS_MAX {
            return Err(Invalid::new(
                "category",
                format!("must have at most {LEVELS_MAX} levels"),
            ));
        }
        let check = |level| line("category", level, LEVEL_LENGTH_MAX);
        levels
            .into_iter()
            .map(check)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<Category> for Vec<String> {
    fn from(category: Category) -> Self {
        category.0
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" > "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_a_path() {
        let category: Category = serde_json::from_str(r#"["Grocery"," Frzn Ice "]"#).unwrap();
        assert_eq!(category.to_string(), "Grocery > Frzn Ice");
        assert_eq!(
            serde_json::to_string(&category).unwrap(),
            r#"["Grocery","Frzn Ice"]"#
        );
        assert!(serde_json::from_str::<Category>("[]").unwrap().is_empty());
    }

    #[test]
    fn depth_and_levels_are_bounded() {
        let of = |levels: &[&str]| {
            Category::try_from(levels.iter().map(|&l| l.to_owned()).collect::<Vec<_>>())
        };
        assert!(of(&["a"; 5]).is_ok());
        assert!(of(&["a"; 6]).is_err());
        assert!(of(&[""]).is_err());
        assert!(of(&[&"x".repeat(101)]).is_err());
    }
}
