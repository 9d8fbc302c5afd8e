//! What operators are told of sagas.

use domain::order::CancelReason;
use domain::saga::Saga as _;
use domain::{OrderId, Return, fulfilment, return_goods};
use eventstore::{EventStore, Stream};
use projections::ReadModel;
use read_models::replays::Request;
use read_models::replays::State as Replayed;
use read_models::sagas::{self, Kind, Saga, SagaId, State, Timed};

use crate::ordering::Basket;
use crate::shop::{REPLAY, Shop};
use crate::story::{Event, answer, asked, completion, parked, request, return_of, tell, tell_all};

const MODEL: ReadModel = ReadModel::Sagas;
const STUCK: &str = "the provider did not answer";

fn id(basket: &Basket, kind: Kind) -> SagaId {
    SagaId {
        kind,
        order_id: basket.order_id.as_uuid(),
    }
}

async fn saga(shop: &Shop, basket: &Basket, kind: Kind, position: i64) -> Saga {
    let generation = shop.reached(MODEL, position).await;
    let found = sagas::by_id(shop.pool(), generation, id(basket, kind)).await;
    found.unwrap().unwrap().saga
}

async fn listed(shop: &Shop, state: Option<State>, before: Option<i64>, limit: i64) -> Vec<Timed> {
    let generation = shop.reached(MODEL, 0).await;
    sagas::list(shop.pool(), generation, state, before, limit)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_saga_is_a_row_that_shows_what_it_waits_for() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let worker = shop.start(MODEL);
    let mut seen = Vec::new();
    for told in completion(&basket) {
        let is_saga = matches!(told.event, Event::Fulfilment(_));
        let position = tell(&shop, &basket, told).await;
        if is_saga {
            let saga = saga(&shop, &basket, Kind::Fulfilment, position).await;
            seen.push((saga.state, saga.waiting_for, saga.attempts));
        }
    }
    let waits = |step: &str| (State::Running, Some(step.to_owned()), 1);
    let expected = [
        (State::Running, None, 0),
        waits("reserve"),
        waits("charge"),
        waits("schedule"),
        waits("commit"),
        (State::Completed, None, 1),
    ];
    assert_eq!(seen, expected);

    let mut seen = Vec::new();
    let mut last = 0;
    for told in return_of(&basket) {
        let is_saga = matches!(told.event, Event::Return(_));
        last = tell(&shop, &basket, told).await;
        if is_saga {
            let saga = saga(&shop, &basket, Kind::Return, last).await;
            seen.push((saga.state, saga.waiting_for));
        }
    }
    let expected = [
        (State::Running, None),
        (State::Running, Some("refund".to_owned())),
        (State::Running, Some("restock".to_owned())),
        (State::Completed, None),
    ];
    assert_eq!(seen, expected);
    let first = saga(&shop, &basket, Kind::Fulfilment, last).await;
    assert_eq!((first.state, first.version), (State::Completed, 6));
    assert!(first.ended_at.unwrap() > first.started_at);
    worker.stop().await;
}

#[tokio::test]
async fn a_saga_halts_with_its_error_and_goes_on_when_it_is_let() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    let worker = shop.start(MODEL);
    let position = tell_all(&shop, &basket, parked(&basket, STUCK)).await;
    let halted = saga(&shop, &basket, Kind::Fulfilment, position).await;
    assert_eq!(halted.state, State::Parked);
    assert_eq!(halted.waiting_for.as_deref(), Some("refund"));
    assert_eq!((halted.attempts, halted.error.as_deref()), (2, Some(STUCK)));
    assert_eq!(halted.reason.as_deref(), Some("customer"));
    assert_eq!(halted.ended_at, None);

    let reason = CancelReason::Customer;
    let steps = [
        (
            asked("operator", Event::Fulfilment(fulfilment::Event::Retried)),
            State::Running,
            2,
            Some(STUCK),
        ),
        (
            answer(&basket, request(&basket, fulfilment::Step::Refund, 3)),
            State::Running,
            3,
            Some(STUCK),
        ),
        (
            answer(&basket, request(&basket, fulfilment::Step::Release, 1)),
            State::Running,
            1,
            None,
        ),
        (
            answer(
                &basket,
                Event::Fulfilment(fulfilment::Event::Cancelled { reason }),
            ),
            State::Cancelled,
            1,
            None,
        ),
    ];
    for (told, state, attempts, error) in steps {
        let position = tell(&shop, &basket, told).await;
        let saga = saga(&shop, &basket, Kind::Fulfilment, position).await;
        assert_eq!((saga.state, saga.attempts), (state, attempts));
        assert_eq!(saga.error.as_deref(), error);
        assert_eq!(saga.reason.as_deref(), Some("customer"));
    }
    worker.stop().await;
}

#[tokio::test]
async fn lists_are_newest_first_by_state_and_walked_by_pages() {
    let shop = Shop::open().await;
    let baskets: Vec<Basket> = (0..5).map(|_| Basket::somebodys()).collect();
    for basket in &baskets[..3] {
        tell_all(&shop, basket, completion(basket)).await;
    }
    tell_all(&shop, &baskets[3], parked(&baskets[3], STUCK)).await;
    let begun = completion(&baskets[4]).into_iter().take(3);
    tell_all(&shop, &baskets[4], begun).await;
    tell_all(&shop, &baskets[0], return_of(&baskets[0])).await;
    shop.bring_up(MODEL).await;

    let ids = |found: &[Timed]| found.iter().map(|it| it.saga.id()).collect::<Vec<_>>();
    let forward = |basket: usize| id(&baskets[basket], Kind::Fulfilment);
    let back = id(&baskets[0], Kind::Return);
    let all = [
        back,
        forward(4),
        forward(3),
        forward(2),
        forward(1),
        forward(0),
    ];
    assert_eq!(ids(&listed(&shop, None, None, 10).await), all);
    let first = listed(&shop, None, None, 4).await;
    let before = first[3].saga.started_position;
    let rest = listed(&shop, None, Some(before), 4).await;
    assert_eq!([ids(&first), ids(&rest)].concat(), all);
    for (state, expected) in [
        (
            State::Completed,
            vec![back, forward(2), forward(1), forward(0)],
        ),
        (State::Parked, vec![forward(3)]),
        (State::Running, vec![forward(4)]),
        (State::Cancelled, vec![]),
    ] {
        assert_eq!(ids(&listed(&shop, Some(state), None, 10).await), expected);
    }
    let generation = shop.reached(MODEL, 0).await;
    let counted = sagas::count(shop.pool(), generation).await.unwrap();
    let expected = [
        (State::Completed, 4),
        (State::Parked, 1),
        (State::Running, 1),
    ];
    assert_eq!(counted, expected.into_iter().collect());
}

#[tokio::test]
async fn the_timer_of_a_saga_is_shown_with_it() {
    let shop = Shop::open().await;
    let basket = Basket::somebodys();
    tell_all(&shop, &basket, completion(&basket)).await;
    tell_all(&shop, &basket, return_of(&basket)).await;
    shop.bring_up(MODEL).await;
    let order_id = OrderId::new(id(&basket, Kind::Return).order_id);
    let due_at = set_timer(&shop.store, &Return::timer_name(order_id)).await;
    let found = listed(&shop, None, None, 10).await;
    let timers: Vec<_> = found.iter().map(|it| (it.saga.kind, it.timer_at)).collect();
    assert_eq!(
        timers,
        [(Kind::Return, Some(due_at)), (Kind::Fulfilment, None)]
    );
}

async fn set_timer(store: &EventStore, name: &str) -> chrono::DateTime<chrono::Utc> {
    let due_at = "2026-11-23T05:00:00Z".parse().unwrap();
    let timer = eventstore::Timer {
        name: name.to_owned(),
        due_at,
        payload: serde_json::Value::Null,
    };
    let decide = move |_: &domain::SkuClaim| {
        let claimed = domain::sku_claim::Event::Claimed {
            product_id: domain::ProductId::new(uuid::Uuid::nil()),
        };
        let timers = vec![eventstore::TimerChange::Set(timer.clone())];
        Ok::<_, ()>(eventstore::Decided::with_timers(vec![claimed], timers))
    };
    let context = eventstore::CommandContext::new("set");
    let stream = Stream::new("apple");
    store.execute(stream, context, decide).await.unwrap();
    due_at
}

#[tokio::test]
async fn told_again_a_saga_is_what_it_was_and_a_replay_is_equal() {
    let shop = Shop::open().await;
    let (one, other) = (Basket::somebodys(), Basket::somebodys());
    let worker = shop.start(MODEL);
    tell_all(&shop, &other, parked(&other, STUCK)).await;
    let position = tell_all(&shop, &one, completion(&one)).await;
    shop.reached(MODEL, position).await;
    let before = listed(&shop, None, None, 10).await;
    sqlx::query("update checkpoints set position = 0, event_id = null where consumer = 'sagas'")
        .execute(shop.pool())
        .await
        .unwrap();
    let retried = asked("operator", Event::Return(return_goods::Event::Retried));
    let story = return_of(&one).into_iter().take(4).chain([retried]);
    let position = tell_all(&shop, &one, story).await;
    shop.reached(MODEL, position).await;
    let after = listed(&shop, None, None, 10).await;
    assert_eq!(after[1..], before);
    let asked = Request {
        require_equal: true,
        ..REPLAY
    };
    let replayed = shop.replay(&worker.consumer, asked).await;
    assert_eq!(replayed.state, Replayed::Switched);
    assert_eq!(listed(&shop, None, None, 10).await, after);
    worker.stop().await;
}
