//! Completions, corrections and categories.

use read_models::products::Status;
use read_models::search::{Category, CompletionKind, SearchError, SuggestRequest, Suggestions};

use crate::seed::{at, document, document_with};
use crate::shop::{Shop, levels, product};

fn suggest(shop: &Shop, q: &str) -> Suggestions {
    shop.writer
        .snapshot()
        .suggest(&SuggestRequest::new(q))
        .unwrap()
}

fn completions(shop: &Shop, q: &str, kind: CompletionKind) -> Vec<(String, u64)> {
    let completions = suggest(shop, q).completions.into_iter();
    let of_kind = completions.filter(|it| it.kind == kind);
    of_kind.map(|it| (it.text, it.count)).collect()
}

fn corrections(shop: &Shop, q: &str) -> Vec<String> {
    let corrections = suggest(shop, q).corrections.into_iter();
    corrections.map(|it| it.text).collect()
}

fn one(text: &str, count: u64) -> Vec<(String, u64)> {
    vec![(text.to_owned(), count)]
}

#[test]
fn what_is_typed_is_completed_to_what_there_is() {
    let shop = Shop::new();
    assert_eq!(
        completions(&shop, "red on", CompletionKind::Words),
        one("red onion", 1)
    );
    assert_eq!(completions(&shop, "oni", CompletionKind::Product).len(), 2);
    assert_eq!(
        completions(&shop, "city", CompletionKind::Brand),
        one("CityBrew", 2)
    );
    assert_eq!(
        completions(&shop, "bee", CompletionKind::Category),
        one("Drinks/Beer", 2)
    );
    assert_eq!(
        completions(&shop, "vege", CompletionKind::Category),
        one("Food/Vegetables", 2)
    );
    let suggestions = suggest(&shop, "brul");
    assert_eq!(
        suggestions.completions[1].highlight,
        "Crème <em>Brûlée</em>"
    );
    assert_eq!(suggestions.position, 1);
    for nothing in ["", "!?", "b", "zzz", "onion citybrew"] {
        let suggestions = suggest(&shop, nothing);
        assert_eq!(suggestions.completions, [], "{nothing}");
    }
}

#[test]
fn products_of_one_name_are_one_completion_and_the_best_comes_first() {
    let mut documents: Vec<_> = (0..30)
        .map(|n| document(&format!("C{n}"), "Cream Cake"))
        .collect();
    documents.push(document("X", "Ice Cream"));
    documents.push(document("Y", "Cream"));
    let shop = Shop::with(documents);
    let names = completions(&shop, "cream", CompletionKind::Product);
    let expected = [("Cream", 1), ("Cream Cake", 30), ("Ice Cream", 1)];
    assert_eq!(
        names,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
}

#[test]
fn what_no_active_product_has_is_not_suggested() {
    let mut shop = Shop::new();
    let mut document = shop.writer.get("B2").unwrap().unwrap();
    document.product.as_mut().unwrap().status = Status::Discontinued;
    shop.writer.put(document).unwrap();
    shop.writer.commit(&at(2)).unwrap();
    assert_eq!(suggest(&shop, "lag").completions, []);
    assert_eq!(corrections(&shop, "lagre"), Vec::<String>::new());
    assert_eq!(
        completions(&shop, "city", CompletionKind::Brand),
        one("CityBrew", 1)
    );
}

#[test]
fn a_misspelt_query_is_corrected_to_one_that_finds_something() {
    let shop = Shop::new();
    assert_eq!(corrections(&shop, "onoin"), ["onion"]);
    assert_eq!(corrections(&shop, "red onoins"), ["red onions"]);
    assert_eq!(corrections(&shop, "dakr lagr"), ["dark lager"]);
    assert_eq!(corrections(&shop, "chokolat bar"), ["chocolate bar"]);
    // What finds something is meant so; what nothing is like has no correction.
    assert_eq!(corrections(&shop, "onion"), Vec::<String>::new());
    assert_eq!(corrections(&shop, "qwertz"), Vec::<String>::new());
    assert_eq!(corrections(&shop, "ale 100"), Vec::<String>::new());
}

#[test]
fn a_word_that_hardly_any_product_has_is_corrected_to_one_that_more_have() {
    let mut documents: Vec<_> = (0..9)
        .map(|n| document(&format!("A{n}"), "Brown Bread"))
        .collect();
    documents.push(document("B", "Bead Bracelet"));
    let shop = Shop::with(documents);
    assert_eq!(corrections(&shop, "bead"), ["bread"]);
    assert_eq!(corrections(&shop, "bread"), Vec::<String>::new());
}

#[test]
fn names_are_escaped_where_they_are_html_and_nowhere_else() {
    let shop = Shop::with([document("X", "<b>Salt</b> & \"Pepper\"")]);
    let suggestions = suggest(&shop, "pepper");
    let completion = &suggestions.completions[0];
    assert_eq!(completion.text, "<b>Salt</b> & \"Pepper\"");
    assert_eq!(
        completion.highlight,
        "&lt;b&gt;Salt&lt;/b&gt; &amp; &quot;<em>Pepper</em>&quot;"
    );
}

#[test]
fn a_list_is_as_long_as_asked() {
    let names = [
        "Apple",
        "Apple Pie",
        "Apple Juice",
        "Apple Cake",
        "Apple Wine",
        "Apple Jam",
    ];
    let shop = Shop::with(names.iter().map(|name| {
        document_with(name, name, |product| {
            product.brand = Some(format!("Apple {name}"));
        })
    }));
    for limit in 1..=20 {
        let request = SuggestRequest {
            limit,
            ..SuggestRequest::new("app")
        };
        let suggestions = shop.writer.snapshot().suggest(&request).unwrap();
        assert!(
            suggestions.completions.len() <= limit,
            "{limit}: {suggestions:?}"
        );
    }
    for limit in [0, 21, usize::MAX] {
        let request = SuggestRequest {
            limit,
            ..SuggestRequest::new("app")
        };
        let refused = shop.writer.snapshot().suggest(&request);
        assert!(
            matches!(&refused, Err(SearchError::Invalid(it)) if it.parameter == "limit"),
            "{refused:?}"
        );
    }
}

fn shown(categories: &[Category]) -> Vec<(String, u64, usize)> {
    let shown = categories.iter();
    shown
        .map(|it| (it.path.clone(), it.count, it.children.len()))
        .collect()
}

#[test]
fn categories_are_a_tree_of_what_is_active() {
    let mut shop = Shop::new();
    let categories = shop.writer.snapshot().categories().unwrap();
    assert_eq!(categories.position, 1);
    let paths = |it: &[(&str, u64, usize)]| -> Vec<(String, u64, usize)> {
        it.iter()
            .map(|(path, count, children)| ((*path).to_owned(), *count, *children))
            .collect()
    };
    assert_eq!(
        shown(&categories.items),
        paths(&[("Drinks", 2, 1), ("Food", 5, 4)])
    );
    let food = &categories.items[1].children;
    assert_eq!(
        shown(food),
        paths(&[
            ("Food/Desserts", 1, 0),
            ("Food/Soups", 1, 0),
            ("Food/Sweets", 1, 0),
            ("Food/Vegetables", 2, 0)
        ])
    );
    for sku in ["B1", "B2"] {
        let mut document = shop.writer.get(sku).unwrap().unwrap();
        document.product.as_mut().unwrap().status = Status::Discontinued;
        shop.writer.put(document).unwrap();
    }
    let mut soup = product("S2", "Leek Soup", "Farm", "Food/Soups/Cold", 100);
    soup.product.as_mut().unwrap().category = levels("Food/Soups/Cold");
    shop.writer.put(soup).unwrap();
    shop.writer.commit(&at(2)).unwrap();
    let categories = shop.writer.snapshot().categories().unwrap();
    assert_eq!(shown(&categories.items), paths(&[("Food", 6, 4)]));
    let soups = &categories.items[0].children[1];
    assert_eq!((soups.name.as_str(), soups.count), ("Soups", 2));
    assert_eq!(shown(&soups.children), paths(&[("Food/Soups/Cold", 1, 0)]));
}
