//! Checking the log, and every model against a rebuild.

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
    assert_eq!(report.findings, Vec::<String>::new());
    assert_eq!(
        (report.checked.len(), report.skipped.len()),
        (5, 0),
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
    assert_eq!(report.findings.len(), 2, "{report:?}");
    assert!(report.findings[1].contains("store-1:apple"), "{report:?}");
    assert!(report.findings[1].contains("99"), "{report:?}");
}

#[tokio::test]
async fn a_hole_in_the_log_is_found() {
    let shop = filled().await;
    sqlx::query("delete from events where position = 1")
        .execute(shop.pool())
        .await
        .unwrap();
    let report = run(&shop).await;
    let found = |text: &str| report.findings.iter().any(|finding| finding.contains(text));
    assert!(found("no event at position 1"), "{report:?}");
    assert!(found("without the version before it"), "{report:?}");
    assert!(found("could not be compared"), "{report:?}");
}
