//! What two generations of the index disagree about.

use std::cmp::Ordering;

use tantivy::DocAddress;

use super::{Document, SearchError, Snapshot};
use crate::differences::{DIFFERENCES_SHOWN_MAX, Difference, Differences};

/// Compares two generations by SKU. Both must stand at one position for the result to mean
/// anything.
pub fn compare(live: &Snapshot, rebuilt: &Snapshot) -> Result<Differences, SearchError> {
    let live_documents = live.addresses()?;
    let rebuilt_documents = rebuilt.addresses()?;
    let mut differences = Differences {
        live_rows: count(live_documents.len()),
        rebuilt_rows: count(rebuilt_documents.len()),
        ..Differences::default()
    };
    let mut left = live_documents.into_iter().peekable();
    let mut right = rebuilt_documents.into_iter().peekable();
    loop {
        let side = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return Ok(differences),
        };
        let ours = if side.is_le() { left.next() } else { None };
        let theirs = if side.is_ge() { right.next() } else { None };
        let fetch = |snapshot: &Snapshot, entry: &Option<(String, DocAddress)>| {
            entry
                .as_ref()
                .map(|(_, address)| snapshot.fetch(*address))
                .transpose()
        };
        let document = fetch(live, &ours)?;
        let other = fetch(rebuilt, &theirs)?;
        if document == other {
            continue;
        }
        differences.count += 1;
        if differences.first.len() < DIFFERENCES_SHOWN_MAX {
            let to_json = |document: Option<Document>| {
                document.as_ref().map(serde_json::to_value).transpose()
            };
            let key = ours.or(theirs).map_or_else(String::new, |(sku, _)| sku);
            let (live, rebuilt) = (to_json(document)?, to_json(other)?);
            differences.first.push(Difference { key, live, rebuilt });
        }
    }
}

fn count(documents: usize) -> i64 {
    i64::try_from(documents).unwrap_or(i64::MAX)
}
