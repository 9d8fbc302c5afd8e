use chrono::{DateTime, TimeDelta, Utc};
use cqrs_es::Aggregate;
use domain::reservation::Line;
use domain::saga::Saga as _;
use domain::{
    Currency, Fulfilment, Money, OrderId, Quantity, Return, Sealed, fulfilment, return_goods,
};
use eventstore::{CommandContext, EventStore, Stream, Timer, TimerChange};
use read_models::sagas::{self, Kind, Saga, SagaId, State};
use read_models::{Checkpoint, checkpoints, generations};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Api, each};

const CORRELATION: &str = "0198c0de-0000-7000-8000-0000000000c0";

/// In the order in which they begin.
fn order(number: u8) -> Uuid {
    Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + u128::from(number))
}

fn id(kind: Kind, number: u8) -> SagaId {
    SagaId {
        kind,
        order_id: order(number),
    }
}

fn lines() -> Vec<Line> {
    vec![Line {
        sku: "apple".parse().unwrap(),
        quantity: Quantity::new(2).unwrap(),
    }]
}

fn plan() -> fulfilment::Plan {
    let id = order(99).to_string();
    fulfilment::Plan {
        customer_id: id.parse().unwrap(),
        store_id: "store-1".parse().unwrap(),
        items: lines(),
        total: Money::new(300, Currency::EUR),
        payment_id: id.parse().unwrap(),
        delivery_id: id.parse().unwrap(),
        payment_token: Sealed::new(id, vec![1]),
        address: None,
    }
}

/// What a saga decides is in its stream.
async fn decide<A: Aggregate + Clone + 'static>(
    store: &EventStore,
    id: SagaId,
    react: impl Fn(&A) -> Vec<A::Event> + Send + Sync + 'static,
) -> i64 {
    let context = CommandContext {
        correlation_id: Some(CORRELATION.to_owned()),
        ..CommandContext::new("react")
    };
    let stream = Stream::<A>::new(id.order_id.to_string());
    let decide = move |saga: &A| Ok::<_, ()>(react(saga));
    store
        .execute(stream, context, decide)
        .await
        .unwrap()
        .version
}

/// Nobody answers its first request, however often it asks; the version at which it halts.
async fn park_fulfilment(store: &EventStore, id: SagaId) -> i64 {
    use fulfilment::{Input, Step};
    let begin = |saga: &Fulfilment| saga.react(Input::Started(Box::new(plan())));
    let mut version = decide(store, id, begin).await;
    for attempt in 1..=fulfilment::TRIES_MAX {
        let step = Step::Reserve;
        let silent = move |saga: &Fulfilment| saga.react(Input::TimedOut { step, attempt });
        version = decide(store, id, silent).await;
    }
    version
}

async fn park_return(store: &EventStore, id: SagaId) -> i64 {
    use return_goods::{Input, Plan, Step};
    let begin = |saga: &Return| {
        let plan = Box::new(Plan {
            store_id: "store-1".parse().unwrap(),
            items: lines(),
            payment_id: order(99).to_string().parse().unwrap(),
        });
        let refunded = false;
        saga.react(Input::Started { plan, refunded })
    };
    let mut version = decide(store, id, begin).await;
    for attempt in 1..=fulfilment::TRIES_MAX {
        let step = Step::Refund;
        let silent = move |saga: &Return| saga.react(Input::TimedOut { step, attempt });
        version = decide(store, id, silent).await;
    }
    version
}

fn row(number: u8, kind: Kind, state: State) -> Saga {
    let started_at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
    let ended = matches!(state, State::Completed | State::Cancelled);
    Saga {
        order_id: order(number),
        kind,
        state,
        waiting_for: (!ended).then(|| "refund".to_owned()),
        attempts: 6,
        reason: None,
        error: (state == State::Parked).then(|| "no answer came in time".to_owned()),
        started_at: started_at + TimeDelta::seconds(number.into()),
        started_position: number.into(),
        ended_at: ended.then_some(started_at + TimeDelta::hours(1)),
        version: 8,
    }
}

/// The read model has these rows and has come to position 10.
async fn go_live(api: &Api, rows: &[Saga]) {
    let pool = api.pool();
    generations::ensure(pool, sagas::NAME).await.unwrap();
    let begun = generations::begin_building(pool, sagas::NAME, 0);
    let generation = begun.await.unwrap().generation;
    let mut connection = pool.acquire().await.unwrap();
    let created = sagas::MODEL.create_generation(&mut connection, generation);
    created.await.unwrap();
    sagas::upsert(pool, generation, rows).await.unwrap();
    let checkpoint = Checkpoint {
        position: 10,
        event_id: None,
    };
    checkpoints::publish(pool, sagas::NAME, generation, &checkpoint)
        .await
        .unwrap();
    generations::switch(pool, sagas::NAME, generation, sagas::SHAPE)
        .await
        .unwrap();
}

fn timer_name(id: SagaId) -> String {
    let order_id = OrderId::new(id.order_id);
    match id.kind {
        Kind::Fulfilment => Fulfilment::timer_name(order_id),
        Kind::Return => Return::timer_name(order_id),
    }
}

async fn timer(api: &Api, id: SagaId) -> Option<(DateTime<Utc>, Value)> {
    sqlx::query_as("select due_at, payload from timers where name = $1")
        .bind(timer_name(id))
        .fetch_optional(api.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn sagas_are_listed_newest_first_and_by_status() {
    let api = Api::start().await;
    let rows = [
        row(1, Kind::Fulfilment, State::Completed),
        row(2, Kind::Fulfilment, State::Parked),
        row(3, Kind::Return, State::Running),
    ];
    go_live(&api, &rows).await;
    let due_at = "2026-11-23T05:00:00Z";
    let timers = vec![TimerChange::Set(Timer {
        name: timer_name(id(Kind::Return, 3)),
        due_at: due_at.parse().unwrap(),
        payload: Value::Null,
    })];
    let streams = Stream::<Return>::new(order(3).to_string());
    let decide = move |_: &Return| {
        let decided = eventstore::Decided::with_timers(vec![], timers.clone());
        Ok::<_, ()>(decided)
    };
    let context = CommandContext::new("set");
    api.store.execute(streams, context, decide).await.unwrap();

    let answer = api.get("sagas").await;
    assert_eq!(answer.header("nakku-position"), "10");
    let listed = answer.is(200);
    let ids = [
        id(Kind::Return, 3).to_string(),
        id(Kind::Fulfilment, 2).to_string(),
        id(Kind::Fulfilment, 1).to_string(),
    ];
    assert_eq!(each(&listed, "id"), ids.each_ref());
    assert_eq!(
        each(&listed, "timer_at"),
        [&json!(due_at), &Value::Null, &Value::Null]
    );
    let expected = json!({
        "id": ids[1], "kind": "fulfilment", "state": "parked", "order_id": order(2),
        "started_at": "2026-11-18T11:06:42Z", "ended_at": null, "waiting_for": "refund",
        "timer_at": null, "attempts": 6, "reason": null, "error": "no answer came in time",
    });
    assert_eq!(listed["items"][1], expected);

    for (status, expected) in [
        ("parked", vec![&ids[1]]),
        ("running", vec![&ids[0]]),
        ("completed", vec![&ids[2]]),
        ("cancelled", vec![]),
    ] {
        let listed = api.get(&format!("sagas?status={status}")).await.is(200);
        assert_eq!(each(&listed, "id"), expected);
    }
    api.get("sagas?status=halted")
        .await
        .problem(400, "bad-request");

    let first = api.get("sagas?limit=2").await.is(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = api
        .get(&format!("sagas?limit=2&cursor={cursor}"))
        .await
        .is(200);
    assert_eq!(each(&rest, "id"), [&ids[2]]);
    assert_eq!(rest["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_saga_is_shown_with_its_events_and_waited_for() {
    let api = Api::start().await;
    let halted = id(Kind::Fulfilment, 1);
    let behind = [("nakku-min-position", "11"), ("prefer", "wait=0")];
    let path = format!("sagas/{halted}");
    // Before it was built, and before it has come there.
    for path in ["sagas", path.as_str()] {
        let answer = api
            .ask(axum::http::Method::GET, path, &behind[1..], None)
            .await;
        answer.problem(503, "projection-behind");
    }
    go_live(&api, &[row(1, Kind::Fulfilment, State::Parked)]).await;
    for path in ["sagas", path.as_str()] {
        let answer = api.ask(axum::http::Method::GET, path, &behind, None).await;
        answer.problem(503, "projection-behind");
    }

    let version = park_fulfilment(&api.store, halted).await;
    let shown = api.get(&path).await.is(200);
    assert_eq!(
        (&shown["id"], &shown["state"]),
        (&json!(halted.to_string()), &json!("parked"))
    );
    let events = shown["events"].as_array().unwrap();
    assert_eq!(events.len(), usize::try_from(version).unwrap());
    assert_eq!(events[0]["type"], "fulfilment.started");
    assert_eq!(events[events.len() - 1]["type"], "fulfilment.parked");
    for unknown in [
        id(Kind::Return, 1).to_string(),
        order(1).to_string(),
        "x".to_owned(),
    ] {
        let answer = api.get(&format!("sagas/{unknown}")).await;
        answer.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_saga_that_halts_goes_on_once_and_is_patient_again() {
    let api = Api::start().await;
    let (forward, back) = (id(Kind::Fulfilment, 1), id(Kind::Return, 1));
    let parked = [
        (
            forward,
            park_fulfilment(&api.store, forward).await,
            "reserve",
        ),
        (back, park_return(&api.store, back).await, "refund"),
    ];
    for (id, version, step) in parked {
        let path = format!("sagas/{id}/retry");
        let mismatch = [("if-match", "\"1\"")];
        let answer = api
            .ask(axum::http::Method::POST, &path, &mismatch, None)
            .await;
        answer.problem(412, "version-mismatch");
        assert_eq!(timer(&api, id).await, None);

        let before = Utc::now();
        let key = format!("once-{id}");
        let once = [("idempotency-key", key.as_str())];
        let answer = api.ask(axum::http::Method::POST, &path, &once, None).await;
        assert_eq!(answer.header("etag"), format!("\"{}\"", version + 2));
        let position = answer.header("nakku-position").to_owned();
        let body = answer.is(200);
        assert_eq!(body["id"], id.to_string());
        assert_eq!(body["position"].to_string(), position);

        let attempt = fulfilment::TRIES_MAX + 1;
        let (due_at, payload) = timer(&api, id).await.unwrap();
        assert!(due_at > before + TimeDelta::seconds(29), "{due_at}");
        let (kind, order_id) = (id.kind.as_str(), order(1).to_string());
        let first = api
            .store
            .stream_events(kind, &order_id, 0, 1)
            .await
            .unwrap();
        let expected = json!({
            "order_id": order(1), "step": step, "attempt": attempt,
            "cause": {"correlation_id": CORRELATION, "causation_id": first[0].event_id},
        });
        assert_eq!(payload, expected);
        let events = api
            .store
            .stream_events(kind, &order_id, version, 10)
            .await
            .unwrap();
        let types: Vec<&str> = events
            .iter()
            .map(|event| event.event_type.as_str())
            .collect();
        assert_eq!(types[0], format!("{kind}.retried"));
        assert!(
            types[1].ends_with("-requested") && types.len() == 2,
            "{types:?}"
        );
        for event in events {
            let metadata = event.metadata();
            assert_eq!(metadata.user_id.as_deref(), Some("u-admin"));
            assert_eq!(metadata.correlation_id.as_deref(), Some(CORRELATION));
            assert_eq!(metadata.causation_id, None);
        }

        let again = api.ask(axum::http::Method::POST, &path, &once, None).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        again.is(200);
        api.post(&path, None).await.problem(409, "saga-not-parked");
    }
    let reused = [("idempotency-key", format!("once-{forward}"))];
    let reused = reused.each_ref().map(|(name, key)| (*name, key.as_str()));
    let path = format!("sagas/{back}/retry");
    let answer = api
        .ask(axum::http::Method::POST, &path, &reused, None)
        .await;
    answer.problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn what_is_no_saga_cannot_go_on() {
    let api = Api::start().await;
    for unknown in [id(Kind::Fulfilment, 1).to_string(), order(1).to_string()] {
        let answer = api.post(&format!("sagas/{unknown}/retry"), None).await;
        answer.problem(404, "not-found");
    }
    let head = api.store.read_head().await.unwrap().position;
    assert_eq!(head, 0);
}
