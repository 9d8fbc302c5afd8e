use std::collections::BTreeMap;

use read_models::search::{FacetCount, SearchError, SearchRequest};

use crate::paging::walk;
use crate::seed::{document, document_with, pieces};
use crate::shop::{Shop, product};

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
fn a_level_may_have_slashes_of_its_own() {
    let cones = |category: &[&str]| {
        document_with("C", "Waffle Cones", |product| {
            product.category = category.iter().map(|&level| level.to_owned()).collect();
        })
    };
    let shop = Shop::with([cones(&["Grocery", "Cookies / Cones"])]);
    let offered = shop.search(&SearchRequest::default()).facets.category;
    assert_eq!(offered[0].value, "Grocery");
    let within = |category: &str| SearchRequest {
        category: Some(category.to_owned()),
        ..SearchRequest::default()
    };
    let below = shop.search(&within("Grocery")).facets.category;
    assert_eq!(below[0].value, "Grocery/Cookies / Cones");
    shop.finds_with(&within(&below[0].value), &["C"]);
    shop.finds_with(&within("cookies/cones"), &["C"]);
    shop.finds_with(&within("Cones"), &[]);
}

/// What a customer counts who walks through all pages.
fn counted(shop: &Shop, request: &SearchRequest) -> (u64, BTreeMap<String, u64>, Vec<u64>) {
    let (mut brands, mut prices) = (BTreeMap::new(), vec![0; 6]);
    let hits = walk(shop, request);
    for hit in &hits {
        if let Some(brand) = &hit.brand {
            *brands.entry(brand.clone()).or_default() += 1;
        }
        let bounds = [200, 500, 1_000, 2_000, 5_000];
        prices[bounds.partition_point(|to| *to <= hit.price.amount_minor)] += 1;
    }
    (hits.len() as u64, brands, prices)
}

#[test]
fn facets_are_counts_under_all_filters() {
    let mut documents = Vec::new();
    for n in 0..120_i64 {
        let brand = ["Farm", "Mill", "Brewer"][usize::try_from(n % 3).unwrap()];
        let category =
            ["Food/Bread", "Food/Fruit", "Drinks/Beer", "Drinks"][usize::try_from(n % 4).unwrap()];
        let mut document = product(&format!("sku-{n:03}"), "Red Thing", brand, category, n * 60);
        document.stock.insert("store-1".to_owned(), pieces(n % 5));
        documents.push(document);
    }
    let shop = Shop::with(documents);
    let all = || SearchRequest {
        limit: 50,
        ..SearchRequest::words("thing")
    };
    let text = |text: &str| Some(text.to_owned());
    for request in [
        all(),
        SearchRequest {
            brand: vec!["Mill".to_owned(), "Farm".to_owned()],
            ..all()
        },
        SearchRequest {
            category: text("Drinks"),
            in_stock_at: text("store-1"),
            ..all()
        },
        SearchRequest {
            category: text("Food/Fruit"),
            price_min: Some(500),
            price_max: Some(3_000),
            ..all()
        },
        SearchRequest {
            brand: vec!["Brewer".to_owned()],
            price_max: Some(1_999),
            ..all()
        },
        SearchRequest {
            brand: vec!["Nobody".to_owned()],
            ..all()
        },
    ] {
        let (total, brands, prices) = counted(&shop, &request);
        let response = shop.search(&request);
        assert_eq!(response.total, total, "{request:?}");
        let facets = response.facets;
        let of_brands = facets.brand.into_iter().map(|it| (it.value, it.count));
        assert_eq!(of_brands.collect::<BTreeMap<_, _>>(), brands, "{request:?}");
        let of_prices: Vec<u64> = facets.price.iter().map(|it| it.count).collect();
        assert_eq!(of_prices, prices, "{request:?}");
    }
}

#[test]
fn whatever_a_name_holds_highlights_are_harmless() {
    let shop = Shop::with([document(
        "X",
        "<script>alert('x')</script> & Onions \"red\"",
    )]);
    let hits = shop.search(&SearchRequest::words("alert onion")).hits;
    assert_eq!(hits[0].name, "<script>alert('x')</script> & Onions \"red\"");
    assert_eq!(
        hits[0].highlights["name"],
        "&lt;script&gt;<em>alert</em>(&#x27;x&#x27;)&lt;/script&gt; &amp; <em>Onions</em> &quot;red&quot;"
    );
    let hits = shop.search(&SearchRequest::words("<script>")).hits;
    assert_eq!(
        hits[0].highlights["name"].matches('<').count(),
        4,
        "{hits:?}"
    );
}

#[test]
fn limits_are_kept() {
    let shop = Shop::new();
    let parameter = |request: &SearchRequest| match shop.writer.snapshot().search(request) {
        Err(SearchError::Invalid(invalid)) => invalid.parameter,
        other => panic!("{other:?}"),
    };
    assert_eq!(parameter(&SearchRequest::words("x".repeat(201))), "q");
    assert_eq!(parameter(&SearchRequest::words("a ".repeat(33))), "q");
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
    for cursor in ["", "-", "zz-1", "e30", "bnVsbA", &"A".repeat(100_000)] {
        let request = SearchRequest {
            cursor: Some(cursor.to_owned()),
            ..SearchRequest::default()
        };
        assert_eq!(parameter(&request), "cursor");
    }
    shop.finds(&"ü".repeat(200), &[]);
}
