//! Writing the index.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::Value as _;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Term};

use super::index::{self, Payload, fields};
use super::{Document, IndexError, Snapshot};
use crate::Checkpoint;

/// One thread keeps up with the log many times over, and documents get their places in order.
const INDEXING_THREADS: usize = 1;

/// A segment is written out when it holds this much; some 50,000 products.
const INDEXING_MEMORY_BYTES: usize = 64 << 20;

/// Merging must not take the cores that answer queries.
const MERGE_THREADS: usize = 1;

/// Small commits pile up this many segments before they become one.
const MERGED_SEGMENTS_MIN: usize = 8;

/// Larger segments are left alone: merging them costs more than reading them.
const MERGED_DOCUMENTS_MAX: usize = 2_000_000;

/// A segment with more deleted documents than this is written anew.
const DELETED_RATIO_MAX: f32 = 0.3;

/// Documents that one commit should hold at most: they stay in memory until then.
pub const PENDING_DOCUMENTS_MAX: usize = 50_000;

/// The one writer of an index directory.
///
/// What was put is read back at once, and is searched after the commit. After an error nothing
/// but [`recover`](Self::recover) makes sense: Tantivy's writer is dead then.
pub struct SearchWriter {
    dir: PathBuf,
    index: Index,
    /// `None` only after a recovery that failed.
    writer: Option<IndexWriter>,
    /// As of the last commit.
    reader: IndexReader,
    checkpoint: Checkpoint,
    /// The JSON of what was put since the last commit, by SKU: a third of what the documents themselves would take.
    pending: HashMap<String, Box<str>>,
    /// SKUs of `pending` by product id.
    pending_products: HashMap<String, String>,
}

impl SearchWriter {
    /// Makes an empty index at position 0, in place of whatever the directory held.
    pub fn create(dir: &Path) -> Result<Self, IndexError> {
        if dir.try_exists().map_err(IndexError::io(dir))? {
            fs::remove_dir_all(dir).map_err(IndexError::io(dir))?;
        }
        fs::create_dir_all(dir).map_err(IndexError::io(dir))?;
        let index = index::create(dir)?;
        let mut writer = Self::over(index, dir, Checkpoint::default())?;
        // Readers take an index without a checkpoint for a damaged one.
        writer.commit(&Checkpoint::default())?;
        Ok(writer)
    }

    /// Opens an index where its last commit left it, after checking its files.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let index = index::open(dir)?;
        index::check_files(&index, dir)?;
        let damaged = index
            .validate_checksum()
            .map_err(IndexError::tantivy(dir))?;
        if let Some(file) = damaged.iter().min() {
            let reason = format!("{} has another checksum", file.display());
            return Err(IndexError::damaged(dir, reason));
        }
        let checkpoint = index::checkpoint(&index, dir)?;
        Self::over(index, dir, checkpoint)
    }

    fn over(index: Index, dir: &Path, checkpoint: Checkpoint) -> Result<Self, IndexError> {
        let writer = tantivy_writer(&index, dir)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(IndexError::tantivy(dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            index,
            writer: Some(writer),
            reader,
            checkpoint,
            pending: HashMap::new(),
            pending_products: HashMap::new(),
        })
    }

    /// The directory that is written.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the last commit stands: read back from the commit itself.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// How many documents wait for a commit.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The document of a SKU, as it was last put.
    pub fn get(&self, sku: &str) -> Result<Option<Document>, IndexError> {
        if let Some(json) = self.pending.get(sku) {
            return self.parsed(json).map(Some);
        }
        self.committed(&Term::from_field_text(fields().sku, sku))
    }

    /// The document that holds a product's part, as it was last put.
    pub fn get_by_product(&self, product_id: &str) -> Result<Option<Document>, IndexError> {
        if let Some(sku) = self.pending_products.get(product_id) {
            let json = self.pending.get(sku);
            return json.map(|json| self.parsed(json)).transpose();
        }
        let committed = self.committed(&Term::from_field_text(fields().id, product_id))?;
        // Its stock may have changed since.
        match committed.as_ref().map(|it| self.pending.get(&it.sku)) {
            Some(Some(json)) => self.parsed(json).map(Some),
            Some(None) | None => Ok(committed),
        }
    }

    fn parsed(&self, json: &str) -> Result<Document, IndexError> {
        serde_json::from_str(json).map_err(|error| self.unwritable(&error))
    }

    fn unwritable(&self, error: &serde_json::Error) -> IndexError {
        IndexError::damaged(&self.dir, format!("document: {error}"))
    }

    fn committed(&self, key: &Term) -> Result<Option<Document>, IndexError> {
        let searcher = self.reader.searcher();
        index::find(&searcher, key)
            .and_then(|found| {
                found
                    .map(|address| index::fetch(&searcher, address))
                    .transpose()
            })
            .map_err(IndexError::tantivy(&self.dir))
    }

    /// Replaces the document of its SKU. May block while the indexing thread catches up.
    pub fn put(&mut self, document: Document) -> Result<(), IndexError> {
        let key = Term::from_field_text(fields().sku, &document.sku);
        let encoded = index::encode(&document).map_err(|error| self.unwritable(&error))?;
        let json = encoded
            .get_first(fields().source)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
            .into();
        let replaces = self.pending.contains_key(&document.sku)
            || self
                .reader
                .searcher()
                .doc_freq(&key)
                .map_err(IndexError::tantivy(&self.dir))?
                > 0;
        let writer = self.writer()?;
        // A deletion is looked up in every segment: not worth it for what is new.
        if replaces {
            writer.delete_term(key);
        }
        writer
            .add_document(encoded)
            .map_err(IndexError::tantivy(&self.dir))?;
        if let Some(product) = &document.product {
            self.pending_products
                .insert(product.id.clone(), document.sku.clone());
        }
        self.pending.insert(document.sku, json);
        Ok(())
    }

    /// Makes what was put durable and searchable, together with the checkpoint it leads to.
    pub fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), IndexError> {
        let dir = self.dir.clone();
        let writer = self.writer.as_mut().ok_or_else(|| dead(&dir))?;
        let mut prepared = writer.prepare_commit().map_err(IndexError::tantivy(&dir))?;
        prepared.set_payload(&Payload::encode(checkpoint));
        prepared.commit().map_err(IndexError::tantivy(&dir))?;
        self.reader.reload().map_err(IndexError::tantivy(&dir))?;
        self.checkpoint = *checkpoint;
        self.pending.clear();
        self.pending_products.clear();
        Ok(())
    }

    /// Goes back to the last commit with a new writer, after an error.
    pub fn recover(&mut self) -> Result<(), IndexError> {
        // The old one holds the directory's lock.
        self.writer = None;
        *self = Self::open(&self.dir)?;
        Ok(())
    }

    /// The index as of the last commit.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.reader.searcher(), self.checkpoint.position)
    }

    fn writer(&self) -> Result<&IndexWriter, IndexError> {
        self.writer.as_ref().ok_or_else(|| dead(&self.dir))
    }
}

impl std::fmt::Debug for SearchWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("SearchWriter")
            .field("index", &self.index)
            .field("checkpoint", &self.checkpoint)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// Tantivy's writer with our bounds.
pub(super) fn tantivy_writer(index: &Index, dir: &Path) -> Result<IndexWriter, IndexError> {
    let options = IndexWriterOptions::builder()
        .num_worker_threads(INDEXING_THREADS)
        .memory_budget_per_thread(INDEXING_MEMORY_BYTES / INDEXING_THREADS)
        .num_merge_threads(MERGE_THREADS)
        .build();
    let writer: IndexWriter = index
        .writer_with_options(options)
        .map_err(IndexError::tantivy(dir))?;
    let mut merging = LogMergePolicy::default();
    merging.set_min_num_segments(MERGED_SEGMENTS_MIN);
    merging.set_max_docs_before_merge(MERGED_DOCUMENTS_MAX);
    merging.set_del_docs_ratio_before_merge(DELETED_RATIO_MAX);
    writer.set_merge_policy(Box::new(merging));
    Ok(writer)
}

fn dead(dir: &Path) -> IndexError {
    let source = tantivy::TantivyError::ErrorInThread("the writer was lost".to_owned());
    IndexError::Tantivy {
        dir: dir.to_owned(),
        source,
    }
}
