//! A small shop to search in.

use read_models::search::{Document, SearchRequest, SearchResponse, SearchWriter};
use tempfile::{TempDir, tempdir};

use crate::seed::{document_with, euros, index_of, pieces};

pub fn levels(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

pub fn product(sku: &str, name: &str, brand: &str, category: &str, price: i64) -> Document {
    document_with(sku, name, |product| {
        product.brand = Some(brand.to_owned());
        product.category = levels(category);
        product.price = euros(price);
    })
}

pub struct Shop {
    pub writer: SearchWriter,
    _dir: TempDir,
}

impl Shop {
    pub fn with(documents: impl IntoIterator<Item = Document>) -> Self {
        let dir = tempdir().unwrap();
        Self {
            writer: index_of(&dir.path().join("index"), documents),
            _dir: dir,
        }
    }

    pub fn new() -> Self {
        let mut soup = product("S1", "Onion Soup", "Campbell's", "Food/Soups", 250);
        soup.stock.insert("store-1".to_owned(), pieces(4));
        let mut dessert = product("D1", "Crème Brûlée", "La Laitière", "Food/Desserts", 399);
        dessert.product.as_mut().unwrap().description =
            Some("Vanilla custard, with a crust of <caramelised> sugar.".to_owned());
        dessert.stock.insert("store-1".to_owned(), pieces(0));
        dessert.stock.insert("store-2".to_owned(), pieces(9));
        Self::with([
            soup,
            dessert,
            product("V1", "Red Onions", "Farm", "Food/Vegetables", 99),
            product("V2", "Beetroot", "Farm", "Food/Vegetables", 150),
            product("B1", "Pale Ale Beer", "CityBrew", "Drinks/Beer", 349),
            product("B2", "Dark Lager", "CityBrew", "Drinks/Beer", 1299),
            product("C1", "Chocolate Bar", "Farm", "Food/Sweets", 199),
        ])
    }

    pub fn search(&self, request: &SearchRequest) -> SearchResponse {
        self.writer.snapshot().search(request).unwrap()
    }

    #[track_caller]
    pub fn finds(&self, q: &str, skus: &[&str]) {
        self.finds_with(&SearchRequest::words(q), skus);
    }

    #[track_caller]
    pub fn finds_with(&self, request: &SearchRequest, skus: &[&str]) {
        let response = self.search(request);
        assert_eq!(found(&response), skus, "{request:?}");
        assert_eq!(response.total, skus.len() as u64);
    }
}

fn found(response: &SearchResponse) -> Vec<&str> {
    response.hits.iter().map(|hit| hit.sku.as_str()).collect()
}
