//! The index's schema, how a document is put into it, and how an index is opened.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::index::SegmentComponent;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing,
    TextOptions, Value,
};
use tantivy::{
    DocAddress, DocSet, Index, IndexMeta, IndexSettings, Searcher, TERMINATED, TantivyDocument,
    Term,
};

use super::tokenizers::{FOLDED, STEMMED, fold, register, words};
use super::{Document, IndexError, SHAPE};
use crate::{Checkpoint, LOG};

pub(super) const META_FILE: &str = "meta.json";

/// Between the levels of a category in fast fields: a character that no name has.
pub(super) const LEVEL_SEPARATOR: char = '\u{1f}';

/// Fast fields are asked for by name.
pub(super) mod fast {
    pub const SKU: &str = "sku";
    pub const BRAND: &str = "brand_name";
    pub const CATEGORY: &str = "category_path";
    pub const PRICE: &str = "price";
    pub const NAME: &str = "name_order";
    pub const NAME_LENGTH: &str = "name_length";
}

/// A document is read whenever one of its parts changes: small blocks make that cheap.
const DOCUMENT_BLOCK_BYTES: usize = 4096;

pub(super) struct Fields {
    /// The key.
    pub sku: Field,
    /// The product's id.
    pub id: Field,
    /// The product's status; what has none is found by no search.
    pub status: Field,
    // Matched by stem.
    pub name: Field,
    pub brand: Field,
    pub category: Field,
    pub description: Field,
    // Matched by whole words, their beginnings, and with typing errors.
    pub name_words: Field,
    pub words: Field,
    /// The words of the name, folded, as one term.
    pub name_key: Field,
    // Filters: folded names, compared as a whole.
    pub brand_key: Field,
    pub category_key: Field,
    /// Ids of the stores that have any available.
    pub in_stock_at: Field,
    // Counted and sorted by.
    pub brand_name: Field,
    pub category_path: Field,
    pub price: Field,
    pub name_order: Field,
    /// Words of the name.
    pub name_length: Field,
    /// The document itself, as JSON.
    pub source: Field,
}

struct Layout {
    schema: Schema,
    fields: Fields,
}

static LAYOUT: LazyLock<Layout> = LazyLock::new(layout);

pub(super) fn fields() -> &'static Fields {
    &LAYOUT.fields
}

fn layout() -> Layout {
    let text = |tokenizer, option| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(tokenizer)
                .set_index_option(option),
        )
    };
    // Scores know no frequencies; only words of a name are looked for side by side.
    let stemmed = |option| text(STEMMED, option);
    let folded = || text(FOLDED, IndexRecordOption::Basic);
    let (basic, side_by_side) = (
        IndexRecordOption::Basic,
        IndexRecordOption::WithFreqsAndPositions,
    );
    let fast_text = || TextOptions::default().set_fast("raw");
    let mut schema = Schema::builder();
    let fields = Fields {
        sku: schema.add_text_field(fast::SKU, STRING | FAST),
        id: schema.add_text_field("id", STRING),
        status: schema.add_text_field("status", STRING),
        name: schema.add_text_field("name", stemmed(side_by_side)),
        brand: schema.add_text_field("brand", stemmed(basic)),
        category: schema.add_text_field("category", stemmed(basic)),
        description: schema.add_text_field("description", stemmed(basic)),
        name_words: schema.add_text_field("name_words", folded()),
        words: schema.add_text_field("words", folded()),
        name_key: schema.add_text_field("name_key", STRING),
        brand_key: schema.add_text_field("brand_key", STRING),
        category_key: schema.add_text_field("category_key", STRING),
        in_stock_at: schema.add_text_field("in_stock_at", STRING),
        brand_name: schema.add_text_field(fast::BRAND, fast_text()),
        category_path: schema.add_text_field(fast::CATEGORY, fast_text()),
        price: schema.add_i64_field(fast::PRICE, INDEXED | FAST),
        name_order: schema.add_text_field(fast::NAME, fast_text()),
        name_length: schema.add_u64_field(fast::NAME_LENGTH, FAST),
        source: schema.add_text_field("source", STORED),
    };
    Layout {
        schema: schema.build(),
        fields,
    }
}

/// A category's levels as the filter's terms: each path from the top, and each level alone.
fn category_keys(category: &[String]) -> BTreeSet<String> {
    let levels: Vec<String> = category.iter().map(|level| category_key(level)).collect();
    let paths = (1..=levels.len()).map(|depth| levels[..depth].join("/"));
    paths.chain(levels.iter().cloned()).collect()
}

/// A category as it is filtered by: path or level, folded. A level may have slashes of its own.
pub(super) fn category_key(category: &str) -> String {
    category.split('/').map(fold).collect::<Vec<_>>().join("/")
}

/// A document as the index takes it in.
pub(super) fn encode(document: &Document) -> Result<TantivyDocument, serde_json::Error> {
    let fields = fields();
    let mut encoded = TantivyDocument::new();
    encoded.add_text(fields.sku, &document.sku);
    encoded.add_text(fields.source, serde_json::to_string(document)?);
    if let Some(product) = &document.product {
        encoded.add_text(fields.id, &product.id);
        encoded.add_text(fields.status, product.status.as_str());
    }
    let Some(product) = document.listed() else {
        return Ok(encoded);
    };
    encoded.add_text(fields.name, &product.name);
    encoded.add_text(fields.name_words, &product.name);
    encoded.add_text(fields.name_order, fold(&product.name));
    let name = words(&product.name);
    encoded.add_text(fields.name_key, name.join(" "));
    encoded.add_u64(fields.name_length, name.len() as u64);
    encoded.add_i64(fields.price, product.price.amount_minor);
    if let Some(brand) = &product.brand {
        encoded.add_text(fields.brand, brand);
        encoded.add_text(fields.brand_key, fold(brand));
        encoded.add_text(fields.brand_name, brand);
    }
    if let Some(description) = &product.description {
        encoded.add_text(fields.description, description);
    }
    for (depth, level) in product.category.iter().enumerate() {
        encoded.add_text(fields.category, level);
        let path = product.category[..=depth].join(&LEVEL_SEPARATOR.to_string());
        encoded.add_text(fields.category_path, path);
    }
    for key in category_keys(&product.category) {
        encoded.add_text(fields.category_key, key);
    }
    let others = [&product.brand, &product.description, &product.size];
    let texts = [&product.name, &document.sku].into_iter();
    for text in texts
        .chain(others.into_iter().flatten())
        .chain(&product.category)
    {
        encoded.add_text(fields.words, text);
    }
    for (store_id, stock) in &document.stock {
        if stock.available > 0 {
            encoded.add_text(fields.in_stock_at, store_id);
        }
    }
    Ok(encoded)
}

/// What a commit stores beside its documents.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    log: String,
    shape: String,
    #[serde(flatten)]
    checkpoint: Checkpoint,
}

impl Payload {
    pub(super) fn encode(checkpoint: &Checkpoint) -> String {
        let payload = Payload {
            log: LOG.to_owned(),
            shape: SHAPE.to_owned(),
            checkpoint: *checkpoint,
        };
        serde_json::to_string(&payload).expect("strings and numbers always serialize")
    }
}

/// Makes an empty index in an empty directory.
pub(super) fn create(dir: &Path) -> Result<Index, IndexError> {
    let settings = IndexSettings {
        docstore_blocksize: DOCUMENT_BLOCK_BYTES,
        ..IndexSettings::default()
    };
    let directory =
        MmapDirectory::open(dir).map_err(|error| IndexError::tantivy(dir)(error.into()))?;
    let index = Index::create(directory, LAYOUT.schema.clone(), settings)
        .map_err(IndexError::tantivy(dir))?;
    register(index.tokenizers());
    Ok(index)
}

/// Opens an index of this program's shape.
pub(super) fn open(dir: &Path) -> Result<Index, IndexError> {
    if !dir
        .join(META_FILE)
        .try_exists()
        .map_err(IndexError::io(dir))?
    {
        return Err(IndexError::Missing {
            dir: dir.to_owned(),
        });
    }
    let index = Index::open_in_dir(dir).map_err(IndexError::tantivy(dir))?;
    // The payload names the shape; the schema is compared too, in case a shape was not renamed.
    checkpoint(&index, dir)?;
    if index.schema() != LAYOUT.schema {
        let found = "another schema".to_owned();
        return Err(IndexError::OtherShape {
            dir: dir.to_owned(),
            found,
        });
    }
    register(index.tokenizers());
    Ok(index)
}

/// What every segment has a file of.
const SEGMENT_PARTS: [SegmentComponent; 6] = [
    SegmentComponent::Postings,
    SegmentComponent::Positions,
    SegmentComponent::FastFields,
    SegmentComponent::FieldNorms,
    SegmentComponent::Terms,
    SegmentComponent::Store,
];

/// The files that a commit cannot do without. Tantivy opens a segment that lacks some of them, and
/// never comes to an end when it is to be merged.
pub(super) fn required_files(meta: &IndexMeta) -> HashSet<PathBuf> {
    let mut files = HashSet::new();
    for segment in &meta.segments {
        files.extend(SEGMENT_PARTS.map(|part| segment.relative_path(part)));
        if segment.has_deletes() {
            files.insert(segment.relative_path(SegmentComponent::Delete));
        }
    }
    files
}

/// Fails as damaged where a file of the last commit is not there.
pub(super) fn check_files(index: &Index, dir: &Path) -> Result<(), IndexError> {
    let meta = index.load_metas().map_err(IndexError::tantivy(dir))?;
    for file in required_files(&meta) {
        let exists = dir.join(&file).try_exists();
        if !exists.map_err(IndexError::io(dir))? {
            return Err(missing(dir, &file));
        }
    }
    Ok(())
}

/// A file of a commit is not there.
pub(super) fn missing(dir: &Path, file: &Path) -> IndexError {
    IndexError::damaged(dir, format!("{} is not there", file.display()))
}

/// The checkpoint of the last commit.
pub(super) fn checkpoint(index: &Index, dir: &Path) -> Result<Checkpoint, IndexError> {
    let meta = index.load_metas().map_err(IndexError::tantivy(dir))?;
    checkpoint_of(&meta, dir)
}

fn checkpoint_of(meta: &IndexMeta, dir: &Path) -> Result<Checkpoint, IndexError> {
    let payload = meta
        .payload
        .as_deref()
        .ok_or_else(|| IndexError::damaged(dir, "its last commit has no checkpoint"))?;
    let payload: Payload = serde_json::from_str(payload).map_err(|error| {
        IndexError::damaged(
            dir,
            format!("its last commit has an unreadable checkpoint: {error}"),
        )
    })?;
    if payload.shape != SHAPE {
        return Err(IndexError::OtherShape {
            dir: dir.to_owned(),
            found: payload.shape,
        });
    }
    Ok(payload.checkpoint)
}

/// The one living document that a key field finds.
pub(super) fn find(searcher: &Searcher, key: &Term) -> tantivy::Result<Option<DocAddress>> {
    for (segment_ord, segment) in (0u32..).zip(searcher.segment_readers()) {
        let index = segment.inverted_index(key.field())?;
        let Some(mut postings) = index.read_postings(key, IndexRecordOption::Basic)? else {
            continue;
        };
        while postings.doc() != TERMINATED {
            if !segment.is_deleted(postings.doc()) {
                return Ok(Some(DocAddress::new(segment_ord, postings.doc())));
            }
            postings.advance();
        }
    }
    Ok(None)
}

/// The document stored at an address.
pub(super) fn fetch(searcher: &Searcher, address: DocAddress) -> tantivy::Result<Document> {
    let stored: TantivyDocument = searcher.doc(address)?;
    let source = stored
        .get_first(fields().source)
        .and_then(|value| value.as_str());
    let source = source.unwrap_or_default();
    serde_json::from_str(source).map_err(|error| {
        tantivy::error::DataCorruption::comment_only(format!("stored document: {error}")).into()
    })
}
