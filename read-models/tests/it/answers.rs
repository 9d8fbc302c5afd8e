use read_models::search::{FacetCount, SearchError, SearchRequest, Sort};

use crate::seed::{at, document};
use crate::shop::Shop;

#[test]
fn facets_count_all_hits_one_level_at_a_time() {
    let shop = Shop::new();
    let counts = |facets: &[FacetCount]| -> Vec<(String, u64)> {
        facets
            .iter()
            .map(|it| (it.value.clone(), it.count))
            .collect()
    };
    let facets = shop
        .search(&SearchRequest {
            limit: 1,
            ..SearchRequest::default()
        })
        .facets;
    assert_eq!(
        counts(&facets.category),
        [("Food".to_owned(), 5), ("Drinks".to_owned(), 2)]
    );
    let brands = [
        ("Farm", 3),
        ("CityBrew", 2),
        ("Campbell's", 1),
        ("La Laitière", 1),
    ];
    assert_eq!(
        counts(&facets.brand),
        brands.map(|(brand, count)| (brand.to_owned(), count))
    );
    let prices: Vec<_> = facets
        .price
        .iter()
        .map(|it| (it.from, it.to, it.count))
        .collect();
    assert_eq!(
        prices,
        [
            (0, Some(200), 3),
            (200, Some(500), 3),
            (500, Some(1000), 0),
            (1000, Some(2000), 1),
            (2000, Some(5000), 0),
            (5000, None, 0)
        ]
    );

    let food = SearchRequest {
        category: Some("food".to_owned()),
        ..SearchRequest::words("onion")
    };
    let below = shop.search(&food).facets.category;
    assert_eq!(
        counts(&below),
        [
            ("Food/Soups".to_owned(), 1),
            ("Food/Vegetables".to_owned(), 1)
        ]
    );
    let leaf = SearchRequest {
        category: Some("Soups".to_owned()),
        ..SearchRequest::default()
    };
    assert_eq!(
        counts(&shop.search(&leaf).facets.category),
        [("Food/Soups".to_owned(), 1)]
    );
}

#[test]
fn words_found_are_highlighted() {
    let shop = Shop::new();
    let hits = shop.search(&SearchRequest::words("sugar crus")).hits;
    assert_eq!(
        hits[0].highlights["description"],
        "Vanilla custard, with a <em>crust</em> of &lt;caramelised&gt; <em>sugar</em>"
    );
    assert_eq!(hits[0].highlights.len(), 1);
    let hits = shop.search(&SearchRequest::words("onoin")).hits;
    assert_eq!(hits[0].highlights["name"], "<em>Onion</em> Soup");
    assert!(
        shop.search(&SearchRequest::default()).hits[0]
            .highlights
            .is_empty()
    );
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
    for sort in [Sort::Relevance, Sort::PriceAsc, Sort::PriceDesc, Sort::Name] {
        let mut request = SearchRequest {
            sort,
            limit: 7,
            ..SearchRequest::words("apple")
        };
        let mut skus = Vec::new();
        loop {
            let response = shop.search(&request);
            assert_eq!(response.total, 25);
            skus.extend(response.hits.into_iter().map(|hit| hit.sku));
            match response.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
        }
        let expected: Vec<String> = (0..25).map(|n| format!("sku-{n:02}")).collect();
        assert_eq!(skus, expected, "{sort:?}");
    }
}

#[test]
fn limits_are_kept() {
    let shop = Shop::new();
    let parameter = |request: &SearchRequest| match shop.writer.snapshot().search(request) {
        Err(SearchError::Invalid(invalid)) => invalid.parameter,
        other => panic!("{other:?}"),
    };
    assert_eq!(parameter(&SearchRequest::words("x".repeat(201))), "q");
    assert_eq!(parameter(&SearchRequest::words("a ".repeat(17))), "q");
    assert_eq!(
        parameter(&SearchRequest {
            limit: 0,
            ..SearchRequest::default()
        }),
        "limit"
    );
    assert_eq!(
        parameter(&SearchRequest {
            limit: 201,
            ..SearchRequest::default()
        }),
        "limit"
    );
    let negative = SearchRequest {
        price_max: Some(-1),
        ..SearchRequest::default()
    };
    assert_eq!(parameter(&negative), "price_max");
    let page = shop.search(&SearchRequest {
        limit: 1,
        ..SearchRequest::default()
    });
    let foreign = SearchRequest {
        cursor: page.next_cursor,
        ..SearchRequest::words("onion")
    };
    assert_eq!(parameter(&foreign), "cursor");
    for cursor in ["", "-", "zz-1", "1-1"] {
        let request = SearchRequest {
            cursor: Some(cursor.to_owned()),
            ..SearchRequest::default()
        };
        assert_eq!(parameter(&request), "cursor");
    }
    shop.finds(&"ü".repeat(200), &[]);
}
