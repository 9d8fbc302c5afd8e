//! Indexing alone: the bound that a replay is measured against.

use std::path::Path;
use std::time::{Duration, Instant};

use tantivy::{IndexWriter, TantivyDocument};

use super::index;
use super::writer::tantivy_writer;
use super::{Document, IndexError};

/// A document as the index takes it in.
#[derive(Debug, Clone)]
pub struct Encoded(TantivyDocument);

impl Encoded {
    /// # Errors
    /// When the document cannot be written as JSON.
    pub fn new(document: &Document) -> Result<Self, serde_json::Error> {
        index::encode(document).map(Self)
    }
}

/// Puts documents of different SKUs into a new index of this schema, with the threads and the memory of a
/// [`SearchWriter`](super::SearchWriter), and commits once. Nothing else that makes it a read model: no
/// checkpoint, no looking for what it replaces, no reading back. The directory must be empty.
///
/// Returns how long the documents took, without opening and closing the index.
pub fn index_plainly(dir: &Path, documents: Vec<Encoded>) -> Result<Duration, IndexError> {
    std::fs::create_dir_all(dir).map_err(IndexError::io(dir))?;
    let index = index::create(dir)?;
    let mut writer: IndexWriter = tantivy_writer(&index, dir)?;
    let began = Instant::now();
    for document in documents {
        writer
            .add_document(document.0)
            .map_err(IndexError::tantivy(dir))?;
    }
    writer.commit().map_err(IndexError::tantivy(dir))?;
    Ok(began.elapsed())
}
