//! `search`: the product index (Tantivy), one per data directory.
//!
//! A document holds what is known of one SKU: a product part and a stock part, whichever came
//! first. The index is its own source: each document stores itself whole, so that a change of one
//! part never needs another read model. Its checkpoint is the payload of its last commit; index
//! and checkpoint are thereby one.
//!
//! Blocking throughout, but for [`SearchReader`]: call it from a blocking thread.

mod bulk;
mod categories;
mod compare;
mod corrections;
mod cursor;
mod directory_id;
mod document;
mod epochs;
mod error;
mod facets;
mod highlights;
mod index;
mod names;
mod page;
pub mod quality;
mod query;
mod ranking;
mod reader;
mod request;
mod response;
mod snapshot;
mod spelling;
mod suggest;
mod tokenizers;
mod writer;

pub use bulk::{Encoded, index_plainly};
pub use categories::{Categories, Category};
pub use compare::compare;
pub use directory_id::DirectoryId;
pub use document::{Document, ProductPart, StockPart};
pub use epochs::{
    epochs, generations, location, parse_location, path, remove_epochs_before, remove_generation,
    take_over,
};
pub use error::{IndexError, SearchError};
pub use ranking::Ranking;
pub use reader::SearchReader;
pub use request::{
    InvalidRequest, LIMIT_DEFAULT, LIMIT_MAX, QUERY_CHARS_MAX, QUERY_WORDS_MAX, SearchRequest, Sort,
};
pub use response::{FacetCount, Facets, Hit, PriceRange, SearchResponse};
pub use snapshot::Snapshot;
pub use suggest::{
    Completion, CompletionKind, Correction, SUGGESTIONS_DEFAULT, SUGGESTIONS_MAX, SuggestRequest,
    Suggestions,
};
pub use writer::{PENDING_DOCUMENTS_MAX, SearchWriter};

/// The model's name; a registered projection adds the data directory: `search@<directory id>`.
pub const NAME: &str = "search";

/// Changed with every change of the schema, the tokenizers or what a document means; a generation
/// of another shape is rebuilt.
pub const SHAPE: &str = "search-2";
