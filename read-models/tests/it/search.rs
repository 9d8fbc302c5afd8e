use read_models::products::Status;
use read_models::search::{Document, SearchRequest, Sort};

use crate::seed::{at, document, document_with, part, pieces};
use crate::shop::{Shop, levels};

#[test]
fn words_are_found_by_stem_without_accents_and_in_any_case() {
    let shop = Shop::new();
    shop.finds("onions", &["V1", "S1"]);
    shop.finds("onion", &["S1", "V1"]);
    shop.finds("ONION red", &["V1"]);
    shop.finds("creme brulee", &["D1"]);
    shop.finds("crème brûlée", &["D1"]);
    shop.finds("campbells", &["S1"]);
    shop.finds("caramelised sugar", &["D1"]);
    shop.finds("laitiere", &["D1"]);
}

#[test]
fn every_word_must_be_found_in_whichever_field() {
    let shop = Shop::new();
    shop.finds("farm vegetables", &["V2", "V1"]);
    shop.finds("citybrew lager", &["B2"]);
    shop.finds("citybrew onion", &[]);
    shop.finds("!?", &[]);
}

#[test]
fn the_last_word_may_be_a_beginning() {
    let shop = Shop::new();
    shop.finds("beet", &["V2"]);
    shop.finds("red oni", &["V1"]);
    shop.finds("oni red", &[]);
    shop.finds("b", &[]);
    // A name that begins so comes first, a category that does last.
    shop.finds("bee", &["V2", "B1", "B2"]);
    // The whole word comes before what merely begins so.
    let shop2 = Shop::with([document("A", "Beetroot"), document("B", "Royal Bee Honey")]);
    shop2.finds("bee", &["B", "A"]);
    shop.finds("V2", &["V2"]);
}

#[test]
fn typing_errors_are_forgiven_where_nothing_is_found_as_written() {
    let shop = Shop::new();
    shop.finds("onoin", &["S1", "V1"]);
    shop.finds("beetrot", &["V2"]);
    shop.finds("chokolatte", &["C1"]);
    shop.finds("choclat", &["C1"]);
    shop.finds("choklate bar", &["C1"]);
    // Written as it is, beer is not beet; three letters are too few to guess.
    shop.finds("beer", &["B1", "B2"]);
    shop.finds("ber", &[]);
    let filtered = SearchRequest {
        category: Some("Food".to_owned()),
        ..SearchRequest::words("beer")
    };
    shop.finds_with(&filtered, &[]);
}

#[test]
fn names_count_more_than_other_fields() {
    let shop = Shop::with([
        document_with("A", "Tomato Soup", |product| {
            product.category = levels("Food/Onion");
        }),
        document_with("B", "Fried Rings", |product| {
            product.description = Some("made of onion".to_owned());
        }),
        document_with("C", "Onion Rings", |_| {}),
        document("D", "Onionade"),
    ]);
    shop.finds("onion", &["C", "A", "D", "B"]);
    let scores: Vec<f32> = shop
        .search(&SearchRequest::words("onion"))
        .hits
        .iter()
        .map(|hit| hit.score)
        .collect();
    assert!(scores.is_sorted_by(|a, b| a > b), "{scores:?}");
}

#[test]
fn the_name_itself_comes_first_and_the_shorter_of_equal_ones() {
    let shop = Shop::with([
        document("A", "Cream Tomato Soup"),
        document("B", "Tomato Soup with Basil"),
        document("C", "Soup of Tomato"),
        document("D", "Tomato & Soup Spices and Herbs"),
        document("E", "Tomato Soup"),
    ]);
    shop.finds("tomato soup", &["E", "B", "D", "A", "C"]);
    shop.finds("TOMATO, soup!", &["E", "B", "D", "A", "C"]);
    // Misspelt too, though then nothing is told from the order of words.
    shop.finds("tomatto soup", &["E", "B", "D", "A", "C"]);
    // Neither beginning nor order: the shorter names.
    shop.finds("soup tomato", &["E", "A", "C", "B", "D"]);
}

#[test]
fn only_the_word_that_nobody_has_is_taken_for_misspelt() {
    let shop = Shop::with([
        document("A", "Whole Milk"),
        document("B", "Whole Silk Scarf"),
        document("C", "Wholes Mill"),
    ]);
    shop.finds("whoel milk", &["A"]);
    shop.finds("hwole silk", &["B"]);
    // Each word exists, nothing has both: any may be wrong.
    shop.finds("scarf mill", &[]);
    shop.finds("silk mill", &["A"]);
}

#[test]
fn scripts_without_blanks_are_found_by_any_part() {
    let shop = Shop::with([
        document("A", "全脂牛奶"),
        document("B", "牛肉和奶酪"),
        document("C", "牛奶"),
        document("D", "Молоко пастеризованное"),
        document("E", "حليب كامل الدسم"),
    ]);
    shop.finds("牛奶", &["C", "A", "B"]);
    shop.finds("молоко", &["D"]);
    shop.finds("МОЛОКО паст", &["D"]);
    shop.finds("حليب", &["E"]);
}

#[test]
fn filters_narrow_the_hits() {
    let shop = Shop::new();
    let all = SearchRequest::default;
    let category = |it: &str| SearchRequest {
        category: Some(it.to_owned()),
        ..all()
    };
    shop.finds_with(&category("Drinks/Beer"), &["B2", "B1"]);
    shop.finds_with(&category("drinks / beer"), &["B2", "B1"]);
    shop.finds_with(&category("Soups"), &["S1"]);
    shop.finds_with(&category("Food/Beer"), &[]);
    let brand = |brands: &[&str]| SearchRequest {
        brand: brands.iter().map(|&brand| brand.to_owned()).collect(),
        ..all()
    };
    shop.finds_with(&brand(&["la laitiere", "Campbell's"]), &["D1", "S1"]);
    shop.finds_with(&brand(&["Camp"]), &[]);
    let price = |price_min, price_max| SearchRequest {
        price_min,
        price_max,
        ..all()
    };
    shop.finds_with(&price(None, Some(150)), &["V2", "V1"]);
    shop.finds_with(&price(Some(399), None), &["D1", "B2"]);
    shop.finds_with(&price(Some(150), Some(199)), &["V2", "C1"]);
    let store = |it: &str| SearchRequest {
        in_stock_at: Some(it.to_owned()),
        ..all()
    };
    shop.finds_with(&store("store-1"), &["S1"]);
    shop.finds_with(&store("store-2"), &["D1"]);
    let both = SearchRequest {
        q: "soup".to_owned(),
        ..store("store-2")
    };
    shop.finds_with(&both, &[]);
}

#[test]
fn hits_are_sorted_as_asked() {
    let shop = Shop::new();
    let sorted = |sort| SearchRequest {
        sort,
        ..SearchRequest::default()
    };
    shop.finds_with(
        &sorted(Sort::PriceAsc),
        &["V1", "V2", "C1", "S1", "B1", "D1", "B2"],
    );
    shop.finds_with(
        &sorted(Sort::PriceDesc),
        &["B2", "D1", "B1", "S1", "C1", "V2", "V1"],
    );
    shop.finds_with(
        &sorted(Sort::Name),
        &["V2", "C1", "D1", "B2", "S1", "B1", "V1"],
    );
    shop.finds_with(
        &sorted(Sort::Relevance),
        &["V2", "C1", "D1", "B2", "S1", "B1", "V1"],
    );
}

#[test]
fn stock_may_come_before_its_product() {
    let mut shop = Shop::with([]);
    let mut early = Document::new("X1");
    early.stock.insert("store-1".to_owned(), pieces(2));
    shop.writer.put(early).unwrap();
    shop.writer.commit(&at(2)).unwrap();
    shop.finds("", &[]);
    assert_eq!(shop.writer.snapshot().documents_count(), 1);

    let mut document = shop.writer.get("X1").unwrap().unwrap();
    document.product = Some(part("id-X1", "Late Apple"));
    shop.writer.put(document).unwrap();
    shop.writer.commit(&at(3)).unwrap();
    let in_stock = SearchRequest {
        in_stock_at: Some("store-1".to_owned()),
        ..SearchRequest::words("apple")
    };
    shop.finds_with(&in_stock, &["X1"]);
}

#[test]
fn a_discontinued_product_is_found_no_more() {
    let mut shop = Shop::new();
    let mut document = shop.writer.get("S1").unwrap().unwrap();
    document.product.as_mut().unwrap().status = Status::Discontinued;
    shop.writer.put(document).unwrap();
    shop.writer.commit(&at(2)).unwrap();
    shop.finds("onion", &["V1"]);
    assert_eq!(shop.search(&SearchRequest::default()).total, 6);
    assert!(shop.writer.get_by_product("id-S1").unwrap().is_some());
}
