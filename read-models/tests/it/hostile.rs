//! Queries and documents that nobody means well with.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use read_models::search::{
    InvalidRequest, SearchError, SearchRequest, SearchWriter, Snapshot, SuggestRequest,
};
use tempfile::{TempDir, tempdir};

use crate::seed::{document, document_with, index_of};

/// Longer than any query takes on a busy machine, shorter than a request may.
const DEADLINE: Duration = Duration::from_secs(5);

/// Words enough for automata to wander about in.
fn large_shop() -> (SearchWriter, TempDir) {
    let dir = tempdir().unwrap();
    let documents = (0..3_000_u32).map(|n| {
        let letters = |mut n: u32| -> String {
            let mut word = String::new();
            for _ in 0..8 {
                word.push(char::from(b'a' + u8::try_from(n % 26).unwrap()));
                n = n.wrapping_mul(31).wrapping_add(7) / 3;
            }
            word
        };
        let name = format!("{} {} aaaaaaaa", letters(n), letters(n.wrapping_mul(977)));
        document_with(&format!("sku-{n}"), &name, |product| {
            product.description = Some("سلام मिर्च 牛奶 'quoted' <b>&amp;".to_owned());
        })
    });
    (index_of(&dir.path().join("index"), documents), dir)
}

/// Asks for it in every way; what is refused is the query.
fn ask(snapshot: &Snapshot, q: &str) -> Result<(), InvalidRequest> {
    let began = Instant::now();
    let refused = |error| match error {
        SearchError::Invalid(invalid) => invalid,
        error => panic!("{q:?}: {error}"),
    };
    let searched = snapshot
        .search(&SearchRequest::words(q))
        .map(drop)
        .map_err(refused);
    let suggested = snapshot
        .suggest(&SuggestRequest::new(q))
        .map(drop)
        .map_err(refused);
    assert!(
        began.elapsed() < DEADLINE,
        "{q:?} took {:?}",
        began.elapsed()
    );
    assert_eq!(searched, suggested);
    searched
}

#[test]
fn any_query_is_answered_or_refused_with_its_limit() {
    let (writer, _dir) = large_shop();
    let snapshot = writer.snapshot();
    for q in [
        "AND OR NOT",
        "+a -b",
        "name:milk",
        "\"unclosed",
        "a AND (b OR",
        "[a TO z]",
        "milk^99",
        "/.*/",
        "(a+)+$",
        "^\\s*$",
        ".*",
        "\\",
        "%",
        "*",
        "?",
        "~",
        "a~2",
        "';drop table events;--",
        "{\"q\":1}",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "😀🍎🥛",
        "👨‍👩‍👧‍👦 milk",
        "\0",
        "a\0b",
        "\u{fffd}",
        "\u{feff}milk",
        "\u{202e}klim",
        "a\u{300}\u{301}\u{302}\u{303}",
        "\u{301}",
        "حليب",
        "שלום",
        "新鲜牛奶",
        "ミルク",
        "우유",
        "नमस्ते",
        "ไทย",
        "İstanbul",
        "ß",
        "ﬁ",
        "𝒎𝒊𝒍𝒌",
        "\t\r\n",
        "....",
        "-",
        "1e999",
        "0x41",
    ] {
        assert_eq!(ask(&snapshot, q), Ok(()), "{q:?}");
    }
    let words = |word: &str, count: usize| vec![word; count].join(" ");
    // As expensive as a query may be.
    for q in [
        "a".repeat(200),
        "ab".repeat(100),
        "é".repeat(200),
        "牛".repeat(32),
        "aaaaaaaa".repeat(25),
        words("aaaaab", 28),
        words("ab", 32),
        words("a", 32),
        "z".repeat(33),
        "zzzzzzz ".repeat(25),
        words("aaaaaaab", 22),
        "\u{301}".repeat(200),
        "-".repeat(200),
    ] {
        assert_eq!(ask(&snapshot, &q), Ok(()), "{q:?}");
    }
    for (q, limit) in [
        ("a".repeat(201), "200 characters"),
        ("x".repeat(10 * 1_024), "200 characters"),
        ("😀".repeat(10_000), "200 characters"),
        ("a".repeat(70_000), "200 characters"),
        (words("a", 10_000), "200 characters"),
        (words("a", 33), "32 words"),
        ("牛".repeat(33), "32 words"),
    ] {
        let refused = ask(&snapshot, &q).unwrap_err();
        assert_eq!(refused.parameter, "q");
        assert!(refused.detail.contains(limit), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_text_breaks_a_search(q in any::<String>(), alike in "[a-z*~\"'^:()\\[\\] .+-]{0,60}") {
        thread_local! {
            static SHOP: (SearchWriter, TempDir) = large_shop();
        }
        SHOP.with(|(writer, _)| {
            let snapshot = writer.snapshot();
            for q in [&q, &alike] {
                if let Err(refused) = ask(&snapshot, q) {
                    prop_assert_eq!(refused.parameter, "q");
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn any_document_is_taken_in_and_the_rest_of_it_is_found() {
    let dir = tempdir().unwrap();
    let long = "x".repeat(70_000);
    let writer = index_of(
        &dir.path().join("index"),
        [
            document("A", &format!("Onion {long}")),
            document_with("B", "Leek\0\u{fffd}\u{202e} 😀", |product| {
                product.brand = Some(String::new());
                product.category = vec![String::new(), "/".to_owned(), long.clone()];
                product.description = Some(format!("{long} garlic"));
            }),
        ],
    );
    let snapshot = writer.snapshot();
    let found = |q: &str| -> Vec<String> {
        let hits = snapshot.search(&SearchRequest::words(q)).unwrap().hits;
        hits.into_iter().map(|hit| hit.sku).collect()
    };
    assert_eq!(found("onion"), ["A"]);
    assert_eq!(found("leek garlic"), ["B"]);
    assert_eq!(found("").len(), 2);
    assert_eq!(snapshot.categories().unwrap().items.len(), 1);
    assert_eq!(ask(&snapshot, "leek"), Ok(()));
}
