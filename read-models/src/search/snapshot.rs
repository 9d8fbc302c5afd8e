//! The index at one position: searched, read and compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tantivy::collector::Count;
use tantivy::query::Query;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocSet, ReloadPolicy, Score, Searcher, TERMINATED, Term};

use super::cursor::Cursor;
use super::facets::{Counts, FacetCounter};
use super::highlights::Highlighter;
use super::index::{self, fetch, fields};
use super::page::{PageCollector, Place, Ranked};
use super::query;
use super::spelling::Spelling;
use super::{
    Categories, Document, Hit, IndexError, Ranking, SearchError, SearchRequest, SearchResponse,
};

/// The index as of one commit. Cheap to clone; later commits do not change it.
#[derive(Clone)]
pub struct Snapshot {
    searcher: Searcher,
    position: i64,
}

impl Snapshot {
    pub(super) fn new(searcher: Searcher, position: i64) -> Self {
        Self { searcher, position }
    }

    /// Opens the last commit of an index directory, once.
    pub fn open(dir: &Path) -> Result<Self, IndexError> {
        let index = index::open(dir)?;
        // Before the reader: it may see a later commit, never an earlier one.
        let position = index::checkpoint(&index, dir)?.position;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(IndexError::tantivy(dir))?;
        Ok(Self::new(reader.searcher(), position))
    }

    /// The place in the log up to which every event is in.
    pub fn position(&self) -> i64 {
        self.position
    }

    pub(super) fn searcher(&self) -> &Searcher {
        &self.searcher
    }

    /// How many documents there are, those included that no search finds.
    pub fn documents_count(&self) -> u64 {
        self.searcher.num_docs()
    }

    /// Searches. Takes milliseconds: not for an async thread.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse, SearchError> {
        self.search_ranked(request, Ranking::ALL)
    }

    /// Searches with parts of the ranking left out, to see what they are worth.
    pub fn search_ranked(
        &self,
        request: &SearchRequest,
        ranking: Ranking,
    ) -> Result<SearchResponse, SearchError> {
        let started = Instant::now();
        let words = request.parse()?;
        let (mut spelling, after) = match Cursor::of(request)? {
            Some(cursor) => (cursor.spelling, Some(cursor.after)),
            None => (Spelling::AS_WRITTEN, None),
        };
        let begins = after.is_none();
        let page = |spelling| {
            let query = query::build(request, &words, spelling, ranking);
            self.page(&*query, request, ranking, after.clone())
        };
        let (mut ranked, mut counts) = page(spelling)?;
        // The pages of one search are spelt alike.
        if begins && counts.total == 0 && ranking.typos {
            spelling = self.spelling(&words, ranking)?;
            if spelling != Spelling::AS_WRITTEN {
                (ranked, counts) = page(spelling)?;
            }
        }
        let more = ranked.len() > request.limit;
        ranked.truncate(request.limit);
        let next = ranked.last().filter(|_| more);
        let next_cursor =
            next.map(|last| Cursor::new(request, spelling, last.place.clone()).encode());
        let highlighter = Highlighter::new(&words, spelling);
        let mut hits = Vec::with_capacity(ranked.len());
        for Ranked { score, address, .. } in ranked {
            let document = fetch(&self.searcher, address)?;
            hits.extend(hit(document, score, &highlighter));
        }
        Ok(SearchResponse {
            hits,
            total: counts.total,
            facets: counts.facets(request.category.as_deref()),
            position: self.position,
            next_cursor,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// How words are to be spelt that no product has all of: those are misspelt that none has, or else any. A search
    /// that found nothing because of its filters is not a misspelt one.
    pub(super) fn spelling(&self, words: &[String], ranking: Ranking) -> tantivy::Result<Spelling> {
        if words.is_empty() || self.count(words, Spelling::AS_WRITTEN, ranking)? > 0 {
            return Ok(Spelling::AS_WRITTEN);
        }
        let is_unknown = |index| {
            let word = query::build_one(words, index);
            Ok::<_, tantivy::TantivyError>(self.searcher.search(&*word, &Count)? == 0)
        };
        let unknown = Spelling::misspelt(words, is_unknown)?;
        if unknown != Spelling::AS_WRITTEN && self.count(words, unknown, ranking)? > 0 {
            return Ok(unknown);
        }
        Spelling::misspelt(words, |_| Ok(true))
    }

    /// How many products have all the words, whatever the filters of the request.
    pub(super) fn count(
        &self,
        words: &[String],
        spelling: Spelling,
        ranking: Ranking,
    ) -> tantivy::Result<usize> {
        let unfiltered = SearchRequest::words(words.join(" "));
        let query = query::build(&unfiltered, words, spelling, ranking);
        self.searcher.search(&*query, &Count)
    }

    /// Ranks what a query finds, one hit more than the page has. Equal ones follow by SKU.
    fn page(
        &self,
        query: &dyn Query,
        request: &SearchRequest,
        ranking: Ranking,
        after: Option<Place>,
    ) -> tantivy::Result<(Vec<Ranked>, Counts)> {
        let page = PageCollector {
            sort: request.effective_sort(),
            shorter_first: ranking.shorter_first,
            limit: request.limit + 1,
            after,
        };
        self.searcher.search(query, &(page, FacetCounter))
    }

    /// The categories that active products are in.
    pub fn categories(&self) -> Result<Categories, SearchError> {
        let everything = SearchRequest::default();
        let query = query::build(&everything, &[], Spelling::AS_WRITTEN, Ranking::ALL);
        let counts = self.searcher.search(&*query, &FacetCounter)?;
        Ok(Categories {
            items: counts.into_tree(),
            position: self.position,
        })
    }

    /// The document of one SKU.
    pub fn document(&self, sku: &str) -> Result<Option<Document>, SearchError> {
        let key = Term::from_field_text(fields().sku, sku);
        let found = index::find(&self.searcher, &key)?;
        Ok(found
            .map(|address| fetch(&self.searcher, address))
            .transpose()?)
    }

    /// Every document by SKU. Only the SKUs are held in memory.
    pub fn all_documents(
        &self,
    ) -> Result<impl Iterator<Item = Result<Document, SearchError>> + '_, SearchError> {
        let addresses = self.addresses()?;
        Ok(addresses
            .into_values()
            .map(|address| Ok(fetch(&self.searcher, address)?)))
    }

    /// Where each living document is, by SKU.
    pub(super) fn addresses(&self) -> Result<BTreeMap<String, DocAddress>, SearchError> {
        let mut addresses = BTreeMap::new();
        for (segment_ord, segment) in (0u32..).zip(self.searcher.segment_readers()) {
            let index = segment.inverted_index(fields().sku)?;
            let mut terms = index
                .terms()
                .stream()
                .map_err(tantivy::TantivyError::from)?;
            while terms.advance() {
                let mut postings = index
                    .read_postings_from_terminfo(terms.value(), IndexRecordOption::Basic)
                    .map_err(tantivy::TantivyError::from)?;
                while postings.doc() != TERMINATED {
                    if !segment.is_deleted(postings.doc()) {
                        let sku = String::from_utf8_lossy(terms.key()).into_owned();
                        addresses.insert(sku, DocAddress::new(segment_ord, postings.doc()));
                    }
                    postings.advance();
                }
            }
        }
        Ok(addresses)
    }

    pub(super) fn fetch(&self, address: DocAddress) -> Result<Document, SearchError> {
        Ok(fetch(&self.searcher, address)?)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Snapshot")
            .field("position", &self.position)
            .field("documents", &self.documents_count())
            .finish_non_exhaustive()
    }
}

/// `None` never happens: what is found has a product part.
fn hit(document: Document, score: Score, highlighter: &Highlighter) -> Option<Hit> {
    let product = document.product?;
    Some(Hit {
        highlights: highlighter.highlights(&product),
        id: product.id,
        sku: document.sku,
        name: product.name,
        brand: product.brand,
        category: product.category,
        price: product.price,
        score,
    })
}
