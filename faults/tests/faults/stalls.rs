//! What stands still is counted, and nothing else is forgiven.

use std::time::Duration;

use faults::Stalls;
use tokio::time::Instant;

/// How long nothing goes on.
const HELD_FOR: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_server_that_stands_still_is_noticed_for_as_long_as_it_does() {
    let database = testing::database().await;
    let began = Instant::now();
    let stalls = Stalls::watch(&database.pool.connect_options()).await;
    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("lock table pulse")
        .execute(&mut *holder)
        .await
        .unwrap();
    let (held, before) = (Instant::now(), stalls.so_far());
    tokio::time::sleep(HELD_FOR).await;
    let (while_held, after) = (held.elapsed(), stalls.so_far());
    holder.rollback().await.unwrap();
    let counted = after - before;
    assert!(
        counted >= HELD_FOR / 2 && counted <= while_held,
        "{counted:?} of {while_held:?}"
    );
    // What has gone on meanwhile does not stand still.
    testing::until("it is alive again", HELD_FOR * 10, async || {
        let before = stalls.so_far();
        tokio::time::sleep(HELD_FOR / 10).await;
        stalls.so_far() == before
    })
    .await;
    assert!(stalls.so_far() < began.elapsed());
}
