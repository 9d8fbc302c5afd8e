//! A log that was rewound: every read model notices, also one to which nothing comes, says what to run, and is whole again
//! once that was run.

use projections::ReadModel;
use projections::verify::verify;
use read_models::replays::State;
use read_models::{generations, status};
use tokio_util::sync::CancellationToken;

use crate::shop::{REPLAY, ROLLBACK, Running, Shop, until};

/// What follows, each a worker at work.
async fn followed() -> (Shop, Vec<Running>, i64) {
    let shop = Shop::open().await;
    for number in 0..10 {
        let sku = format!("sku-{number}");
        shop.create_product(&sku, 199).await;
        shop.receive(&sku, 3).await;
        shop.register(&format!("{number}@example.org"), "Ada").await;
    }
    let workers: Vec<Running> = ReadModel::ALL.map(|model| shop.start(model)).into();
    let head = shop.store.read_head().await.unwrap().position;
    reached(&shop, head).await;
    (shop, workers, head)
}

async fn reached(shop: &Shop, position: i64) {
    until("all read models have come so far", async || {
        let rows = status::list(shop.pool(), None).await.unwrap();
        let live = rows.iter().filter(|row| row.state == status::State::Live);
        live.filter(|row| row.position >= position).count() == ReadModel::ALL.len()
    })
    .await;
}

/// As a copy of the log that is older by so many events.
async fn rewind(shop: &Shop, events: i64) {
    let head: i64 = sqlx::query_scalar("select max(position) from events")
        .fetch_one(shop.pool())
        .await
        .unwrap();
    sqlx::query("delete from events where position > $1")
        .bind(head - events)
        .execute(shop.pool())
        .await
        .unwrap();
}

/// Each says in one line what to run; running it works, and what follows then is followed.
async fn all_notice_and_are_mended(shop: &Shop, workers: Vec<Running>) {
    for worker in &workers {
        until(&format!("{} has noticed", worker.consumer), async || {
            let row = generations::read(shop.pool(), &worker.consumer)
                .await
                .unwrap()
                .unwrap();
            // It may say for a moment that it has lost its lease.
            row.failure.is_some_and(|failure| {
                failure.contains("the log was rewound below position")
                    && failure.contains("`nakku replay --all`")
                    && !failure.contains('\n')
            })
        })
        .await;
    }
    for worker in &workers {
        let replay = shop.replay(&worker.consumer, REPLAY).await;
        assert_eq!(replay.state, State::Switched, "{replay:?}");
        // The generation before holds what the log has lost.
        let back = shop.replay(&worker.consumer, ROLLBACK).await;
        assert_eq!(back.state, State::Failed, "{back:?}");
    }
    let (_, position) = shop.create_product("from-now-on", 199).await;
    reached(shop, position).await;
    for worker in workers {
        worker.stop().await;
    }
    let never = CancellationToken::new();
    let report = verify(&shop.store, shop.data_directory(), "verify", &never)
        .await
        .unwrap();
    assert_eq!(report.findings, []);
}

#[tokio::test]
async fn idle_read_models_notice_a_log_that_is_shorter_than_they_have_come() {
    let (shop, workers, _) = followed().await;
    rewind(&shop, 12).await;
    all_notice_and_are_mended(&shop, workers).await;
}

#[tokio::test]
async fn idle_read_models_notice_other_events_at_the_same_positions() {
    let (shop, workers, head) = followed().await;
    // In one moment, as a restore is.
    sqlx::query("update events set event_id = gen_random_uuid() where position > $1")
        .bind(head - 5)
        .execute(shop.pool())
        .await
        .unwrap();
    all_notice_and_are_mended(&shop, workers).await;
}

#[tokio::test]
async fn read_models_that_start_on_a_rewound_log_notice() {
    let (shop, workers, head) = followed().await;
    for worker in workers {
        worker.stop().await;
    }
    rewind(&shop, 12).await;
    // The positions are used again, and more: another product's.
    let planted = shop.plant_products(30).await;
    assert!(planted > head);
    let workers = ReadModel::ALL.map(|model| shop.start(model)).into();
    all_notice_and_are_mended(&shop, workers).await;
}
