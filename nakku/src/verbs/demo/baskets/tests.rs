use std::io::Write;

use super::*;
use crate::cli::{self, Command};
use crate::verbs::demo::BASKETS;

const GOOD: &str = r#"{"basket":"1","store":"367","household":"7","at":"2017-01-01T11:53:26","items":[{"sku":"A-1","quantity":2,"unit_price_minor":50}]}"#;

fn arguments(line: &str) -> Demo {
    let words = ["nakku", "demo"].into_iter().chain(line.split_whitespace());
    match cli::parse(words).unwrap().0.command {
        Command::Demo(demo) => demo,
        other => panic!("{other:?}"),
    }
}

async fn read_text(text: &str, line: &str) -> anyhow::Result<Reading> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let input = Input::open(file.path()).unwrap();
    read(input, &arguments(line), CancellationToken::new()).await
}

#[tokio::test]
async fn the_baskets_that_ship_can_be_ordered_as_they_are() {
    let input = Input::embedded("baskets", BASKETS);
    let reading = read(input, &arguments(""), CancellationToken::new())
        .await
        .unwrap();
    assert_eq!((reading.plan.orders(), reading.rejected), (500, 0));
    let demand = reading.plan.demand();
    assert_eq!(
        demand.keys().copied().collect::<Vec<_>>(),
        ["31782", "367", "381"]
    );
    assert_eq!(reading.plan.households().len(), 156);
}

#[tokio::test]
async fn bad_lines_are_counted_and_the_rest_is_read() {
    let text = format!("{GOOD}\nnonsense\n\n{GOOD}\n{{}}\n{GOOD}");
    let reading = read_text(&text, "").await.unwrap();
    assert_eq!((reading.plan.orders(), reading.rejected), (3, 2));
}

#[tokio::test]
async fn no_more_is_read_than_is_replayed() {
    let text = format!("{GOOD}\n{GOOD}\nnonsense\n");
    let reading = read_text(&text, "--orders 2").await.unwrap();
    assert_eq!((reading.plan.baskets(), reading.rejected), (2, 0));
    let reading = read_text(&text, "--orders 5").await.unwrap();
    assert_eq!((reading.plan.baskets(), reading.rejected), (2, 1));
    assert_eq!(reading.plan.orders(), 5);
    for nothing in ["", "\n\n", "nonsense"] {
        let error = read_text(nothing, "").await.err().unwrap().to_string();
        assert_eq!(error, "there is no basket to replay");
    }
}

#[test]
fn a_line_says_why_it_is_no_basket() {
    assert_eq!(parse(GOOD.as_bytes()).unwrap().items.len(), 1);
    for (from, to, expected) in [
        (
            "\"basket\":\"1\"",
            "\"basket\":\"\"",
            "basket must be 1 to 40",
        ),
        ("\"7\"", "\"7@home\"", "household must be 1 to 40"),
        ("\"367\"", "\"Store 367\"", "store: "),
        ("A-1", "A 1", "items/0/sku: "),
        ("\"quantity\":2", "\"quantity\":0", "items/0/quantity: "),
        ("\"quantity\":2", "\"quantity\":-2", "invalid value"),
        (
            "\"quantity\":2",
            "\"pieces\":2",
            "missing field `quantity` at column",
        ),
        ("[{", "[],\"more\":[{", "items must not be empty"),
    ] {
        let line = GOOD.replace(from, to);
        let detail = parse(line.as_bytes()).unwrap_err();
        assert!(detail.starts_with(expected), "{line}: {detail}");
    }
}
