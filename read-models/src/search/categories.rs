//! The categories that active products are in, as a tree.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::index::LEVEL_SEPARATOR;

/// More than a shop has; those with fewest products are left out.
const CATEGORIES_MAX: usize = 5_000;

/// Every category that has active products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Categories {
    /// The widest categories, by name.
    pub items: Vec<Category>,
    /// The place in the log that the answer stands for.
    pub position: i64,
}

/// A category and those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Category {
    pub name: String,
    /// What a search takes as its `category`.
    #[schema(example = "Beverages/Beer")]
    pub path: String,
    /// Active products in it and below.
    pub count: u64,
    /// By name.
    #[schema(no_recursion)]
    pub children: Vec<Category>,
}

#[derive(Default)]
struct Node {
    count: u64,
    children: BTreeMap<String, Node>,
}

/// The tree of counts by path; every path's parents are counted too.
pub(super) fn tree(counts: HashMap<String, u64>) -> Vec<Category> {
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    // A parent has no fewer products than its children, and a shorter path: it is never left out before them.
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(CATEGORIES_MAX);
    let mut root = Node::default();
    for (path, count) in counts {
        let mut node = &mut root;
        for level in path.split(LEVEL_SEPARATOR) {
            node = node.children.entry(level.to_owned()).or_default();
        }
        node.count = count;
    }
    root.into_categories("")
}

impl Node {
    fn into_categories(self, parent: &str) -> Vec<Category> {
        let children = self.children.into_iter();
        children
            .map(|(name, node)| {
                let path = match parent {
                    "" => name.clone(),
                    parent => format!("{parent}/{name}"),
                };
                Category {
                    count: node.count,
                    children: node.into_categories(&path),
                    name,
                    path,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_categories_stay_with_their_parents() {
        let mut counts = HashMap::from([("Rare".to_owned(), 1), ("Food".to_owned(), 6_000)]);
        for n in 0..6_000 {
            counts.insert(format!("Food{LEVEL_SEPARATOR}{n:04}"), 2);
        }
        let tree = tree(counts);
        assert_eq!(tree.len(), 1);
        assert_eq!(
            (tree[0].count, tree[0].children.len()),
            (6_000, CATEGORIES_MAX - 1)
        );
        assert_eq!(tree[0].children[1].path, "Food/0001");
    }
}
