//! The ground that every other test stands on.
#![expect(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod upstream;

use std::time::Duration;

#[tokio::test]
async fn a_database_is_migrated_and_its_own() {
    let (one, other) = tokio::join!(testing::database(), testing::database());
    sqlx::query("insert into log (name) values ('mine')")
        .execute(&one.pool)
        .await
        .unwrap();

    let logs_of = async |pool| {
        sqlx::query_scalar::<_, String>("select name from log order by name")
            .fetch_all(pool)
            .await
            .unwrap()
    };
    assert_eq!(logs_of(&one.pool).await, ["main", "mine"]);
    assert_eq!(logs_of(&other.pool).await, ["main"]);
}

#[tokio::test]
async fn a_database_is_reached_by_its_url() {
    use sqlx::Connection;
    let database = testing::database().await;
    let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let log: String = sqlx::query_scalar("select name from log")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(log, "main");
}

#[tokio::test]
async fn a_dropped_database_is_gone() {
    use sqlx::Connection;
    let database = testing::database().await;
    // A pool with an open connection: it must not keep the database alive.
    let pool = database.pool.clone();
    let name: String = sqlx::query_scalar("select current_database()")
        .fetch_one(&pool)
        .await
        .unwrap();
    drop(database);

    let mut server = sqlx::PgConnection::connect(&testing::server_url())
        .await
        .unwrap();
    let exists: bool =
        sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut server)
            .await
            .unwrap();
    assert!(!exists);
}

#[tokio::test]
async fn waiting_ends_when_the_condition_holds() {
    let mut asked = 0;
    testing::until(
        "it was asked three times",
        Duration::from_secs(5),
        async || {
            asked += 1;
            asked == 3
        },
    )
    .await;
    assert_eq!(asked, 3);
}

#[tokio::test]
#[should_panic(expected = "until the moon falls")]
async fn waiting_in_vain_says_for_what() {
    testing::until("the moon falls", Duration::from_millis(20), async || false).await;
}

#[test]
fn topic_prefixes_differ() {
    assert_ne!(testing::topic_prefix(), testing::topic_prefix());
}
