//! The index at one position: searched, read and compared.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tantivy::collector::sort_key::{SortBySimilarityScore, SortByStaticFastValue, SortByString};
use tantivy::collector::{Count, TopDocs};
use tantivy::query::Query;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, DocSet, Order, ReloadPolicy, Score, Searcher, TERMINATED, Term};

use super::facets::{Counts, FacetCounter};
use super::highlights::Highlighter;
use super::index::{self, fast, fetch, fields};
use super::query::{self, Spelling};
use super::{Document, Hit, IndexError, SearchError, SearchRequest, SearchResponse, Sort};

/// The index as of one commit. Cheap to clone; later commits do not change it.
#[derive(Clone)]
pub struct Snapshot {
    searcher: Searcher,
    position: i64,
}

/// One page of addresses with their scores, and counts over all.
type Page = (Vec<(Score, DocAddress)>, Counts);

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

    /// How many documents there are, those included that no search finds.
    pub fn documents_count(&self) -> u64 {
        self.searcher.num_docs()
    }

    /// Searches. Takes milliseconds: not for an async thread.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchResponse, SearchError> {
        let started = Instant::now();
        let words = request.parse()?;
        let offset = request.offset()?;
        let mut spelling = Spelling::AsWritten;
        let mut query = query::build(request, &words, spelling);
        let mut page = self.page(&*query, request, offset)?;
        if page.1.total == 0 && self.is_unknown(&words)? {
            spelling = Spelling::WithTypos;
            query = query::build(request, &words, spelling);
            page = self.page(&*query, request, offset)?;
        }
        let (found, counts) = page;
        let highlighter = Highlighter::new(&words, spelling);
        let mut hits = Vec::with_capacity(found.len());
        for (score, address) in found {
            let document = fetch(&self.searcher, address)?;
            hits.extend(hit(document, score, &highlighter));
        }
        let total = counts.total;
        let next = offset + request.limit;
        Ok(SearchResponse {
            hits,
            total,
            facets: counts.facets(request.category.as_deref()),
            position: self.position,
            next_cursor: request.cursor_at(next, usize::try_from(total).unwrap_or(usize::MAX)),
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Whether no product at all has these words. A search that found nothing because of its
    /// filters is not a misspelt one.
    fn is_unknown(&self, words: &[String]) -> tantivy::Result<bool> {
        if words.is_empty() {
            return Ok(false);
        }
        let unfiltered = SearchRequest::words(words.join(" "));
        let query = query::build(&unfiltered, words, Spelling::AsWritten);
        Ok(self.searcher.search(&*query, &Count)? == 0)
    }

    /// Ranks what a query finds. Equal ones follow by SKU, so that pages neither repeat nor miss
    /// any.
    fn page(
        &self,
        query: &dyn Query,
        request: &SearchRequest,
        offset: usize,
    ) -> tantivy::Result<Page> {
        let top = TopDocs::with_limit(request.limit).and_offset(offset);
        let sku = (SortByString::for_field(fast::SKU), Order::Asc);
        let price = SortByStaticFastValue::<i64>::for_field(fast::PRICE);
        let search = &self.searcher;
        Ok(match effective_sort(request) {
            Sort::Relevance => {
                let order = top.order_by((SortBySimilarityScore, sku));
                let (found, counts) = search.search(query, &(order, FacetCounter))?;
                (
                    found
                        .into_iter()
                        .map(|((score, _), doc)| (score, doc))
                        .collect(),
                    counts,
                )
            }
            Sort::PriceAsc => {
                let order = top.order_by(((price, Order::Asc), sku, SortBySimilarityScore));
                let (found, counts) = search.search(query, &(order, FacetCounter))?;
                (
                    found
                        .into_iter()
                        .map(|((.., score), doc)| (score, doc))
                        .collect(),
                    counts,
                )
            }
            Sort::PriceDesc => {
                let order = top.order_by(((price, Order::Desc), sku, SortBySimilarityScore));
                let (found, counts) = search.search(query, &(order, FacetCounter))?;
                (
                    found
                        .into_iter()
                        .map(|((.., score), doc)| (score, doc))
                        .collect(),
                    counts,
                )
            }
            Sort::Name => {
                let name = (SortByString::for_field(fast::NAME), Order::Asc);
                let order = top.order_by((name, sku, SortBySimilarityScore));
                let (found, counts) = search.search(query, &(order, FacetCounter))?;
                (
                    found
                        .into_iter()
                        .map(|((.., score), doc)| (score, doc))
                        .collect(),
                    counts,
                )
            }
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

fn effective_sort(request: &SearchRequest) -> Sort {
    match request.sort {
        // Without words all are equally relevant.
        Sort::Relevance if request.q.trim().is_empty() => Sort::Name,
        sort => sort,
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
