//! Pages while the index changes.

use proptest::prelude::*;
use read_models::search::{
    Document, Hit, SearchError, SearchRequest, SearchWriter, Snapshot, Sort,
};
use tempfile::tempdir;

use crate::seed::{at, document, document_with, euros, index_of};
use crate::shop::Shop;

const SORTS: [Sort; 4] = [Sort::Relevance, Sort::PriceAsc, Sort::PriceDesc, Sort::Name];

/// Every hit, page by page.
pub fn walk(shop: &Shop, request: &SearchRequest) -> Vec<Hit> {
    let mut request = request.clone();
    let mut hits = Vec::new();
    loop {
        let response = shop.search(&request);
        hits.extend(response.hits);
        request.cursor = response.next_cursor;
        if request.cursor.is_none() {
            return hits;
        }
    }
}

fn sorted(sort: Sort, limit: usize) -> SearchRequest {
    SearchRequest {
        sort,
        limit,
        ..SearchRequest::words("apple")
    }
}

#[test]
fn pages_neither_repeat_nor_miss_any() {
    // Equal scores and prices, over several segments.
    let mut shop = Shop::with([]);
    for n in (0..25).rev() {
        shop.writer
            .put(document(&format!("sku-{n:02}"), "Apple"))
            .unwrap();
        if n % 6 == 0 {
            shop.writer.commit(&at(n)).unwrap();
        }
    }
    let expected: Vec<String> = (0..25).map(|n| format!("sku-{n:02}")).collect();
    for sort in SORTS {
        assert_eq!(shop.search(&sorted(sort, 7)).total, 25);
        for limit in [1, 5, 7, 24, 25, 26] {
            let hits = walk(&shop, &sorted(sort, limit)).into_iter();
            let skus: Vec<String> = hits.map(|hit| hit.sku).collect();
            assert_eq!(skus, expected, "{sort:?} by {limit}");
        }
    }
}

/// A product that is there throughout, or one that comes and goes.
fn apple(n: usize, stays: bool) -> Document {
    let kind = if stays { "stays" } else { "comes" };
    let name = ["Apple", "Green Apple", "Apples", "Sweet Apple Pie", "Pie"][n % 5];
    document_with(&format!("{kind}-{n:03}"), name, |product| {
        product.price = euros(i64::try_from(n * 37 % 11).unwrap());
        product.brand = n.is_multiple_of(3).then(|| "Apple Farm".to_owned());
        product.description = (n % 5 == 4).then(|| "an apple in it".to_owned());
    })
}

/// Where the next page is read from.
#[derive(Debug, Clone, Copy)]
enum Next {
    SameIndex,
    /// As after a restart.
    Reopened,
    /// Built in another order, with the same products.
    OtherGeneration,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        Just(Next::SameIndex),
        Just(Next::Reopened),
        Just(Next::OtherGeneration)
    ]
}

/// An index that changes between pages.
struct Changing {
    folder: tempfile::TempDir,
    generation: u32,
    writer: SearchWriter,
    documents: std::collections::BTreeMap<String, Document>,
    position: i64,
}

impl Changing {
    fn new() -> Self {
        let folder = tempdir().unwrap();
        let documents: Vec<Document> = (0..40).map(|n| apple(n, true)).collect();
        Self {
            writer: index_of(&folder.path().join("1"), documents.clone()),
            folder,
            generation: 1,
            documents: documents
                .into_iter()
                .map(|it| (it.sku.clone(), it))
                .collect(),
            position: 1,
        }
    }

    fn commit(&mut self) {
        self.position += 1;
        self.writer.commit(&at(self.position)).unwrap();
    }

    /// Others come; those that had come go.
    fn change(&mut self, coming: &[usize]) {
        for document in self.documents.values_mut() {
            if document.sku.starts_with("comes") {
                document.product = None;
                self.writer.put(document.clone()).unwrap();
            }
        }
        for n in coming {
            let document = apple(*n, false);
            self.writer.put(document.clone()).unwrap();
            self.documents.insert(document.sku.clone(), document);
        }
        self.commit();
    }

    fn snapshot(&mut self, next: Next) -> Snapshot {
        let directory = self.folder.path().join(self.generation.to_string());
        match next {
            Next::SameIndex => self.writer.snapshot(),
            Next::Reopened => Snapshot::open(&directory).unwrap(),
            Next::OtherGeneration => {
                self.generation += 1;
                let directory = self.folder.path().join(self.generation.to_string());
                self.writer = index_of(&directory, self.documents.values().rev().cloned());
                self.commit();
                self.writer.snapshot()
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whoever_stays_is_on_one_page_whatever_else_comes_and_goes(
        sort in 0..SORTS.len(),
        limit in 3..12_usize,
        misspelt in any::<bool>(),
        changes in prop::collection::vec((prop::collection::vec(0..60_usize, 0..6), next()), 16),
    ) {
        let mut index = Changing::new();
        let mut request = sorted(SORTS[sort], limit);
        if misspelt {
            request.q = "aplpe".to_owned();
        }
        let mut seen = Vec::new();
        let mut response = index.writer.snapshot().search(&request).unwrap();
        let mut changes = changes.iter().cycle();
        loop {
            seen.extend(response.hits.into_iter().map(|hit| hit.sku));
            request.cursor = response.next_cursor;
            if request.cursor.is_none() {
                break;
            }
            let (coming, next) = changes.next().unwrap();
            index.change(coming);
            response = index.snapshot(*next).search(&request).unwrap();
        }
        let mut stayed: Vec<&String> = seen.iter().filter(|sku| sku.starts_with("stays")).collect();
        stayed.sort_unstable();
        let expected: Vec<String> = (0..40).map(|n| format!("stays-{n:03}")).collect();
        prop_assert_eq!(stayed, expected.iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_page_that_was_misspelt_goes_on_so_when_the_word_appears() {
    let mut shop = Shop::with((0..6).map(|n| document(&format!("A{n}"), "Chocolate")));
    let mut request = SearchRequest {
        limit: 4,
        ..SearchRequest::words("chocolade")
    };
    let first = shop.search(&request);
    assert_eq!((first.hits.len(), first.total), (4, 6));
    shop.writer.put(document("B", "Chocolade")).unwrap();
    shop.writer.commit(&at(2)).unwrap();
    request.cursor = first.next_cursor;
    let second = shop.search(&request);
    let skus: Vec<&str> = second.hits.iter().map(|hit| hit.sku.as_str()).collect();
    assert_eq!((skus, second.total), (vec!["A4", "A5"], 7));
    request.cursor = None;
    assert_eq!(shop.search(&request).total, 1);
}

#[test]
fn a_cursor_is_one_of_its_search() {
    let shop = Shop::new();
    let page = |request: SearchRequest| SearchRequest {
        limit: 1,
        ..request
    };
    let first = page(SearchRequest::words("onion"));
    let cursor = shop.search(&first).next_cursor;
    assert!(cursor.is_some());
    let go_on = |request: SearchRequest| {
        let request = SearchRequest {
            cursor: cursor.clone(),
            ..request
        };
        shop.writer.snapshot().search(&request)
    };
    assert_eq!(go_on(first.clone()).unwrap().hits.len(), 1);
    assert_eq!(
        go_on(SearchRequest {
            limit: 9,
            ..first.clone()
        })
        .unwrap()
        .hits
        .len(),
        1
    );
    for changed in [
        SearchRequest::words("onions"),
        SearchRequest {
            sort: Sort::Name,
            ..first.clone()
        },
        SearchRequest {
            price_max: Some(1),
            ..first.clone()
        },
        SearchRequest {
            brand: vec!["Farm".to_owned()],
            ..first.clone()
        },
        SearchRequest {
            category: Some("Food".to_owned()),
            ..first.clone()
        },
        SearchRequest {
            in_stock_at: Some("store-1".to_owned()),
            ..first
        },
    ] {
        let refused = go_on(changed.clone());
        let Err(SearchError::Invalid(invalid)) = refused else {
            panic!("{changed:?}: {refused:?}");
        };
        assert_eq!(invalid.parameter, "cursor");
        assert!(invalid.detail.contains("another search"), "{invalid}");
    }
}
