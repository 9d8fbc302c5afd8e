//! What every feed promises.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cqrs_es::persist::{EventUpcaster, SemanticVersionEventUpcaster};
use eventstore::{Checkpoint, CommandContext, EventStore, Feed, FeedError, Options};
use serde_json::json;
use uuid::Uuid;

use super::{Followed, Way, read_to};
use crate::publishing::{LONG, deposits};
use crate::support::{KEYS, at_once, claim, deposit, deposit_in, open};

async fn everything_comes_in_order(way: Way) {
    let followed = Followed::by(way).await;
    let store = followed.store.clone();
    let writers = at_once(20, move |index| {
        let store = store.clone();
        async move {
            claim(
                &store,
                &format!("account-{index}"),
                &format!("name-{index}"),
            )
            .await
            .unwrap();
            for _ in 0..10 {
                deposit(&store, &format!("account-{}", index % 7), 1)
                    .await
                    .unwrap();
            }
        }
    });
    let follow = async {
        let mut feed = followed.open(Checkpoint::START).await;
        read_to(&mut *feed, 0, 240, 7).await
    };
    let (_, events) = tokio::join!(writers, follow);
    assert_eq!(events.len(), 240);
    assert_eq!(
        followed.store.read_after(0, 1_000).await.unwrap().len(),
        240
    );
}

async fn events_are_as_the_log_holds_them(way: Way) {
    let followed = Followed::by(way).await;
    let context = CommandContext {
        correlation_id: Some("correlation-ü".to_owned()),
        causation_id: Some("causation".to_owned()),
        user_id: Some("user".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        ..crate::support::context()
    };
    deposit_in(&followed.store, "store-1:sku", 5, context)
        .await
        .unwrap();
    deposit(&followed.store, "b", 1).await.unwrap();
    let mut feed = followed.open(Checkpoint::START).await;
    let events = read_to(&mut *feed, 0, 2, 10).await;
    assert_eq!(events, followed.store.read_after(0, 10).await.unwrap());
}

async fn it_begins_after_its_checkpoint(way: Way) {
    let followed = Followed::by(way).await;
    for round in 0..3 {
        deposits(&followed.store, &format!("account-{round}"), 20).await;
    }
    let at = followed.store.read_after(36, 1).await.unwrap()[0].clone();
    let mut feed = followed.open(Checkpoint::at(&at)).await;
    let events = read_to(&mut *feed, 37, 60, 1_000).await;
    assert_eq!(events.len(), 23);
}

async fn it_is_woken_by_an_append_and_else_returns_empty(way: Way) {
    let followed = Followed::by(way).await;
    let mut feed = followed.open(Checkpoint::START).await;
    assert!(feed.next(10).await.unwrap().is_empty());
    deposit(&followed.store, "a", 1).await.unwrap();
    read_to(&mut *feed, 0, 1, 10).await;
    // By another process, as far as this one can tell.
    let other = open(&followed.database.pool).await;
    deposit(&other, "a", 1).await.unwrap();
    read_to(&mut *feed, 1, 2, 10).await;
}

async fn dropping_the_future_loses_nothing(way: Way) {
    let followed = Followed::by(way).await;
    for round in 0..30 {
        deposits(&followed.store, &format!("account-{round}"), 10).await;
    }
    let mut feed = followed.open(Checkpoint::START).await;
    let deadline = Instant::now() + LONG;
    let mut positions = Vec::new();
    let mut patience_micros = 0;
    while positions.len() < 300 {
        assert!(Instant::now() < deadline, "stands at {}", positions.len());
        // From far too short to long enough, over and over.
        patience_micros = (patience_micros + 150) % 10_000;
        let patience = Duration::from_micros(patience_micros);
        if let Ok(page) = tokio::time::timeout(patience, feed.next(10)).await {
            positions.extend(page.unwrap().iter().map(|event| event.position));
        }
    }
    assert_eq!(positions, (1..=300).collect::<Vec<i64>>());
}

async fn a_rewound_log_is_noticed(way: Way) {
    let followed = Followed::by(way).await;
    deposit(&followed.store, "a", 1).await.unwrap();
    for position in [1, 7] {
        let checkpoint = Checkpoint {
            position,
            event_id: Some(Uuid::nil()),
        };
        let error = followed.try_open(checkpoint).await.err().unwrap();
        assert!(matches!(error, FeedError::Rewound { .. }));
        assert!(
            error.to_string().contains("`nakku replay --all`"),
            "{error}"
        );
    }
}

async fn a_log_that_is_rewound_under_a_feed_is_noticed(way: Way) {
    let followed = Followed::by(way).await;
    let mut feed = followed.open(Checkpoint::START).await;
    deposits(&followed.store, "a", 5).await;
    read_to(&mut *feed, 0, 5, 10).await;
    // Positions 4 and 5 are used again, for other events.
    sqlx::query("update events set event_id = gen_random_uuid() where position > 3")
        .execute(&followed.database.pool)
        .await
        .unwrap();
    deposits(&followed.store, "b", 1).await;
    until_rewound(&mut *feed, 5).await;
}

async fn a_log_that_is_shorter_than_what_was_read_is_noticed(way: Way) {
    let followed = Followed::by(way).await;
    let mut feed = followed.open(Checkpoint::START).await;
    deposits(&followed.store, "a", 5).await;
    read_to(&mut *feed, 0, 5, 10).await;
    sqlx::query("delete from events where position > 3")
        .execute(&followed.database.pool)
        .await
        .unwrap();
    until_rewound(&mut *feed, 5).await;
}

/// Nothing is yielded any more but the error that says what to run.
async fn until_rewound(feed: &mut dyn Feed, at: i64) {
    let deadline = Instant::now() + LONG;
    let error = loop {
        assert!(
            Instant::now() < deadline,
            "the log goes on as if nothing had been"
        );
        match feed.next(10).await {
            Ok(events) => assert_eq!(events, []),
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, FeedError::Rewound { position } if position == at),
        "{error}"
    );
    let again = feed.next(10).await.unwrap_err();
    assert!(matches!(again, FeedError::Rewound { .. }), "{again}");
}

async fn it_yields_the_same_again_from_an_older_checkpoint(way: Way) {
    let followed = Followed::by(way).await;
    for round in 0..8 {
        deposits(&followed.store, &format!("account-{}", round % 3), 15).await;
    }
    let mut feed = followed.open(Checkpoint::START).await;
    let events = read_to(&mut *feed, 0, 120, 11).await;
    // A consumer that crashed comes back with the checkpoint of what it had made durable, however old.
    for (position, limit) in [(119, 1), (77, 1_000), (40, 3), (1, 7), (0, 50)] {
        let event_id = (position > 0).then(|| events[position - 1].event_id);
        let from = i64::try_from(position).unwrap();
        let mut feed = followed
            .open(Checkpoint {
                position: from,
                event_id,
            })
            .await;
        assert_eq!(
            read_to(&mut *feed, from, 120, limit).await,
            events[position..]
        );
    }
}

async fn events_of_old_versions_come_in_the_present_shape(way: Way) {
    let database = testing::database().await;
    let doubled: Box<dyn EventUpcaster> = Box::new(SemanticVersionEventUpcaster::new(
        "account.deposited",
        "1.1.0",
        Box::new(|mut payload| {
            payload["amount"] = json!(payload["amount"].as_i64().unwrap() * 100);
            payload
        }),
    ));
    let options = Options {
        keys: KEYS,
        upcasters: vec![doubled],
        snapshot_shapes: HashMap::new(),
    };
    let plain = open(&database.pool).await;
    deposit(&plain, "a", 3).await.unwrap();
    let store = EventStore::open(database.pool.clone(), options)
        .await
        .unwrap();
    let followed = Followed::of(way, store, database).await;
    let mut feed = followed.open(Checkpoint::START).await;
    let events = read_to(&mut *feed, 0, 1, 10).await;
    let payload: serde_json::Value = serde_json::from_str(&events[0].payload).unwrap();
    assert_eq!(payload["amount"], 300);
}

feed_suites!([
    everything_comes_in_order,
    events_are_as_the_log_holds_them,
    it_begins_after_its_checkpoint,
    it_yields_the_same_again_from_an_older_checkpoint,
    it_is_woken_by_an_append_and_else_returns_empty,
    dropping_the_future_loses_nothing,
    a_rewound_log_is_noticed,
    a_log_that_is_rewound_under_a_feed_is_noticed,
    a_log_that_is_shorter_than_what_was_read_is_noticed,
    events_of_old_versions_come_in_the_present_shape,
]);
