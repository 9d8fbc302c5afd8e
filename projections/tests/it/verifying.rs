//! Checking the log, and every model against a rebuild.

use eventstore::dead_letters;
use projections::ReadModel;
use projections::verify::{Report, verify};
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;

async fn run(shop: &Shop) -> Report {
    let shutdown = CancellationToken::new();
    verify(&shop.store, shop.data_directory(), "verify", &shutdown)
        .await
        .unwrap()
}

async fn filled() -> Shop {
    let shop = Shop::open().await;
    let (apple, _) = shop.create_product("apple", 199).await;
    shop.change_price(&apple, 299).await;
    shop.receive("apple", 3).await;
    shop.register("ada@example.org", "Ada").await;
    for model in ReadModel::ALL {
        shop.bring_up(model).await;
    }
    shop
}

#[tokio::test]
async fn a_sound_system_has_no_findings_with_workers_and_without() {
    let shop = filled().await;
    // The workers of two models do it themselves.
    let workers = [
        shop.start(ReadModel::Products),
        shop.start(ReadModel::Search),
    ];
    let report = run(&shop).await;
    assert_eq!(report.findings, []);
    assert_eq!(
        (report.checked.len(), report.skipped.len()),
        (1 + ReadModel::ALL.len(), 0),
        "{report:?}"
    );
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn a_forged_row_is_found() {
    let shop = filled().await;
    sqlx::query("update stock_1.stock set on_hand = 99")
        .execute(shop.pool())
        .await
        .unwrap();
    let report = run(&shop).await;
    let [finding] = &report.findings[..] else {
        panic!("{report:?}");
    };
    assert_eq!(finding.problem, "stock: rows that differ from a rebuild: 1");
    let place = "store-1:apple: on_hand 99, rebuilt 3";
    assert_eq!(finding.places, [place]);
    assert!(finding.mend.contains("nakku replay stock"), "{report:?}");
}

#[tokio::test]
async fn a_discarded_event_is_named_and_no_difference() {
    let shop = filled().await;
    let (product, _) = shop.create_product("pear", 199).await;
    sqlx::query(
        "update events set payload = '{\"type\":\"product.created\"}' where aggregate_id = $1",
    )
    .bind(&product)
    .execute(shop.pool())
    .await
    .unwrap();
    shop.bring_up(ReadModel::Products).await;
    let report = run(&shop).await;
    assert_eq!(report.findings, []);
    let is_told = |what: &str| report.left_out.iter().any(|line| line.contains(what));
    assert!(is_told("products: parked streams: 1"), "{report:?}");

    let letters = dead_letters::list(shop.pool(), Some("products"), None, 10).await;
    let [letter] = &letters.unwrap()[..] else {
        panic!("{product} is not parked");
    };
    dead_letters::discard(shop.pool(), letter.id, "ada", "broken")
        .await
        .unwrap();
    shop.bring_up(ReadModel::Products).await;
    let report = run(&shop).await;
    assert_eq!(report.findings, []);
    let is_told = |what: &str| report.left_out.iter().any(|line| line.contains(what));
    assert!(is_told("products: discarded events: 1"), "{report:?}");
    assert!(!is_told("products: parked"), "{report:?}");
}

#[tokio::test]
async fn a_hole_in_the_log_is_found() {
    let shop = filled().await;
    sqlx::query("delete from events where position = 1")
        .execute(shop.pool())
        .await
        .unwrap();
    let report = run(&shop).await;
    let found = |problem: &str, place: &str| {
        report.findings.iter().any(|finding| {
            finding.problem.contains(problem)
                && finding.places.iter().any(|told| told.contains(place))
        })
    };
    assert!(found("holes", "no event at position 1"), "{report:?}");
    assert!(
        found("not contiguous", "without the version before it"),
        "{report:?}"
    );
    assert!(found("could not be compared", ""), "{report:?}");
}
