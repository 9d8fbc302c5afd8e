use read_models::generations::{self, Begun, Error};

#[tokio::test]
async fn a_generation_is_built_switched_to_and_kept_until_the_one_after_the_next() {
    let database = testing::database().await;
    let pool = &database.pool;
    generations::ensure(pool, "products").await.unwrap();
    generations::ensure(pool, "products").await.unwrap();
    let row = generations::read(pool, "products").await.unwrap().unwrap();
    assert_eq!(row.generations(), Vec::<i32>::new());
    assert!(!row.is_live_in("a"));

    for (expected, obsolete) in [(1, None), (2, None), (3, Some(1)), (4, Some(2))] {
        let begun = generations::begin_building(pool, "products", 0)
            .await
            .unwrap();
        assert_eq!(
            begun,
            Begun {
                generation: expected,
                abandoned: None
            }
        );
        let dropped = generations::switch(pool, "products", expected, "a")
            .await
            .unwrap();
        assert_eq!(dropped, obsolete);
    }
    let row = generations::read(pool, "products").await.unwrap().unwrap();
    assert_eq!(
        (row.live, row.previous, row.building),
        (Some(4), Some(3), None)
    );
    assert_eq!(row.generations(), [3, 4]);
    assert!(row.is_live_in("a"));
    assert!(!row.is_live_in("b"));
}

#[tokio::test]
async fn what_an_earlier_rebuild_left_is_named_and_its_number_not_used_again() {
    let database = testing::database().await;
    let pool = &database.pool;
    generations::ensure(pool, "stock").await.unwrap();
    generations::begin_building(pool, "stock", 0).await.unwrap();
    let begun = generations::begin_building(pool, "stock", 0).await.unwrap();
    assert_eq!(
        begun,
        Begun {
            generation: 2,
            abandoned: Some(1)
        }
    );
    let error = generations::switch(pool, "stock", 1, "a")
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::NotBuilding { generation: 1, .. }),
        "{error}"
    );
    assert_eq!(
        generations::cancel_building(pool, "stock").await.unwrap(),
        Some(2)
    );
    assert_eq!(
        generations::cancel_building(pool, "stock").await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_rollback_swaps_and_can_be_taken_back() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    generations::ensure(&mut *connection, "users")
        .await
        .unwrap();
    for generation in [1, 2] {
        generations::begin_building(&mut *connection, "users", 0)
            .await
            .unwrap();
        generations::switch(&mut *connection, "users", generation, "a")
            .await
            .unwrap();
    }
    assert_eq!(
        generations::rollback(&mut connection, "users", "a")
            .await
            .unwrap(),
        1
    );
    let row = generations::read(&mut *connection, "users")
        .await
        .unwrap()
        .unwrap();
    assert_eq!((row.live, row.previous), (Some(1), Some(2)));
    assert_eq!(
        generations::rollback(&mut connection, "users", "a")
            .await
            .unwrap(),
        2
    );
    // A number is not drawn again after going back.
    generations::rollback(&mut connection, "users", "a")
        .await
        .unwrap();
    let begun = generations::begin_building(&mut *connection, "users", 0)
        .await
        .unwrap();
    assert_eq!(begun.generation, 3);
}

#[tokio::test]
async fn a_rollback_across_shapes_is_refused_in_one_line() {
    let database = testing::database().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let unknown = generations::rollback(&mut connection, "users", "a")
        .await
        .unwrap_err();
    assert!(matches!(unknown, Error::Unknown { .. }), "{unknown}");
    generations::ensure(&mut *connection, "users")
        .await
        .unwrap();
    let nothing = generations::rollback(&mut connection, "users", "a")
        .await
        .unwrap_err();
    assert!(matches!(nothing, Error::NoPrevious { .. }), "{nothing}");
    for (generation, shape) in [(1, "users-1"), (2, "users-2")] {
        generations::begin_building(&mut *connection, "users", 0)
            .await
            .unwrap();
        generations::switch(&mut *connection, "users", generation, shape)
            .await
            .unwrap();
    }
    let refused = generations::rollback(&mut connection, "users", "users-2")
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "projection users cannot go back to generation 1: it has shape `users-1`, this program \
         has `users-2`; run `nakku replay users` instead"
    );
    let row = generations::read(&mut *connection, "users")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.live, Some(2));
}

#[tokio::test]
async fn pausing_and_failing_are_recorded_and_a_switch_clears_the_failure() {
    let database = testing::database().await;
    let pool = &database.pool;
    for name in ["search@b", "search@a"] {
        generations::ensure(pool, name).await.unwrap();
    }
    generations::set_paused(pool, "search@a", true)
        .await
        .unwrap();
    generations::set_failure(pool, "search@b", Some("log was rewound"))
        .await
        .unwrap();
    let rows = generations::list(pool).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["search@a", "search@b"]
    );
    assert!(rows[0].paused && rows[0].failure.is_none());
    assert_eq!(rows[1].failure.as_deref(), Some("log was rewound"));
    assert!(
        generations::set_paused(pool, "nothing", true)
            .await
            .is_err()
    );

    generations::begin_building(pool, "search@b", 0)
        .await
        .unwrap();
    generations::switch(pool, "search@b", 1, "a").await.unwrap();
    let row = generations::read(pool, "search@b").await.unwrap().unwrap();
    assert_eq!(row.failure, None);
}
