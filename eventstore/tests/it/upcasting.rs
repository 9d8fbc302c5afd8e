//! Events written by older and by newer programs: the old ones count as what they say in the present form, and
//! what this program does not know is never taken for something that it does.

use std::collections::HashMap;

use cqrs_es::event_sink::EventSink;
use cqrs_es::persist::{EventUpcaster, SemanticVersionEventUpcaster};
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{
    CommandContext, EventStore, ExecuteError, Executed, KafkaSettings, Options, Stream, Topics,
    ensure_topics,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;

use crate::publishing::{PARTITIONS, RunningRelay, read_all, until_published};
use crate::support::{Error, KEYS, context};

/// A water meter, as one version of the program knows it.
trait Program: Clone + Send + Sync + 'static {
    type Event: DomainEvent + Serialize + DeserializeOwned;
    /// Litres that flowed.
    fn litres(event: &Self::Event) -> i64;
}

/// Its state: litres that have flowed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
struct Meter<P> {
    litres: i64,
    #[serde(skip)]
    program: std::marker::PhantomData<fn() -> P>,
}

impl<P> Default for Meter<P> {
    fn default() -> Self {
        Self {
            litres: 0,
            program: std::marker::PhantomData,
        }
    }
}

impl<P: Program> Aggregate for Meter<P> {
    const TYPE: &'static str = "meter";
    type Command = ();
    type Event = P::Event;
    type Error = Error;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Error> {
        Ok(())
    }

    fn apply(&mut self, event: P::Event) {
        self.litres += P::litres(&event);
    }
}

macro_rules! program {
    ($program:ident, $event:ident, $version:literal, $({$type:literal $variant:ident $member:ident * $litres:literal}),+) => {
        #[derive(Clone, Debug)]
        struct $program;

        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "type")]
        enum $event {
            $(#[serde(rename = $type)] $variant { $member: i64 },)+
        }

        impl DomainEvent for $event {
            fn event_type(&self) -> String {
                match self {
                    $(Self::$variant { .. } => $type.to_owned(),)+
                }
            }

            fn event_version(&self) -> String {
                $version.to_owned()
            }
        }

        impl Program for $program {
            type Event = $event;

            fn litres(event: &$event) -> i64 {
                match event {
                    $($event::$variant { $member } => *$member * $litres,)+
                }
            }
        }
    };
}

program!(Old, OldEvent, "1.0", { "meter.flowed" Flowed hectolitres * 100 });
program!(Present, PresentEvent, "2.0", { "meter.flowed" Flowed litres * 1 });
// Looks like the present one, and means something else.
program!(Newer, NewerEvent, "3.0", { "meter.flowed" Flowed litres * -1 });
program!(Other, OtherEvent, "2.0", { "meter.replaced" Replaced litres * 0 });

async fn open(pool: &PgPool) -> EventStore {
    let litres: Box<dyn EventUpcaster> = Box::new(SemanticVersionEventUpcaster::new(
        "meter.flowed",
        "2.0",
        Box::new(|payload| {
            let hectolitres = payload["hectolitres"].as_i64().unwrap();
            json!({"type": "meter.flowed", "litres": hectolitres * 100})
        }),
    ));
    let options = Options {
        keys: KEYS,
        upcasters: vec![litres],
        snapshot_shapes: HashMap::from([("meter", "1")]),
    };
    EventStore::open(pool.clone(), options).await.unwrap()
}

/// Appends one event, as a program of its version.
async fn append<P: Program>(
    store: &EventStore,
    id: &str,
    event: P::Event,
) -> Result<Executed, ExecuteError<Error>>
where
    P::Event: Clone,
{
    let stream = Stream::<Meter<P>>::new(id);
    store
        .execute(stream, context(), move |_: &Meter<P>| {
            Ok(vec![event.clone()])
        })
        .await
}

/// Refuses with what the meter shows.
async fn shown(store: &EventStore, id: &str) -> Result<i64, ExecuteError<Error>> {
    let read = |meter: &Meter<Present>| -> Result<Vec<PresentEvent>, Error> {
        Err(Error::InsufficientFunds {
            balance: meter.litres,
            requested: 0,
        })
    };
    match store
        .execute(Stream::<Meter<Present>>::new(id), context(), read)
        .await
    {
        Err(ExecuteError::Refused {
            error: Error::InsufficientFunds { balance, .. },
            ..
        }) => Ok(balance),
        Err(error) => Err(error),
        Ok(executed) => panic!("{executed:?}"),
    }
}

#[tokio::test]
async fn an_old_event_counts_like_its_present_form() {
    let database = testing::database().await;
    let pool = &database.pool;
    append::<Old>(&open(pool).await, "a", OldEvent::Flowed { hectolitres: 3 })
        .await
        .unwrap();
    append::<Present>(&open(pool).await, "a", PresentEvent::Flowed { litres: 7 })
        .await
        .unwrap();
    append::<Old>(&open(pool).await, "b", OldEvent::Flowed { hectolitres: 2 })
        .await
        .unwrap();

    let store = open(pool).await;
    assert_eq!(shown(&store, "a").await, Ok(307));
    assert_eq!(shown(&store, "b").await, Ok(200));
    for (version, litres) in [(Some(1), 300), (Some(2), 307), (None, 307)] {
        let state = store
            .state_at::<Meter<Present>>("a", version)
            .await
            .unwrap();
        assert_eq!(state.unwrap().0.litres, litres, "{version:?}");
    }
    let stored = store.stream_events("meter", "a", 0, 10).await.unwrap();
    assert_eq!(stored[0].event_version, "1.0");
    assert_eq!(
        stored[0].payload,
        r#"{"type":"meter.flowed","hectolitres":3}"#
    );
    assert!(stored[0].decode::<PresentEvent>().is_err());
    let lifted = store.upcast(stored[0].clone());
    assert_eq!(
        lifted.decode::<PresentEvent>().unwrap(),
        PresentEvent::Flowed { litres: 300 }
    );
}

/// Fails unless commands on the stream answer that its history cannot be read, and why; others go on.
async fn is_refused_to_commands(store: &EventStore, id: &str, why: &str) {
    let head = store.read_head().await.unwrap().position;
    for _ in 0..2 {
        let outcome = append::<Present>(store, id, PresentEvent::Flowed { litres: 1 }).await;
        assert!(
            matches!(&outcome, Err(ExecuteError::Corrupt(reason)) if reason.contains(why)),
            "{outcome:?}"
        );
    }
    // Nor does it matter that the command would refuse, or has a version in mind.
    assert!(matches!(
        shown(store, id).await,
        Err(ExecuteError::Corrupt(_))
    ));
    let context = CommandContext {
        expected_version: Some(1),
        ..context()
    };
    let stream = Stream::<Meter<Present>>::new(id);
    let outcome = store
        .execute(stream, context, |_: &Meter<Present>| {
            Ok::<_, Error>(Vec::<PresentEvent>::new())
        })
        .await;
    assert!(
        matches!(outcome, Err(ExecuteError::Corrupt(_))),
        "{outcome:?}"
    );
    assert_eq!(store.read_head().await.unwrap().position, head);
    let error = store
        .state_at::<Meter<Present>>(id, None)
        .await
        .unwrap_err();
    assert!(format!("{error:#}").contains(why), "{error:#}");
    append::<Present>(store, "another stream", PresentEvent::Flowed { litres: 1 })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_command_on_a_stream_with_an_unknown_type_or_version_is_an_error() {
    let database = testing::database().await;
    let pool = &database.pool;
    let warm = open(pool).await;
    for id in ["newer", "other"] {
        append::<Present>(&warm, id, PresentEvent::Flowed { litres: 7 })
            .await
            .unwrap();
    }
    plant(
        pool,
        "newer",
        "meter.flowed",
        "3.0",
        r#"{"type":"meter.flowed","litres":1}"#,
    )
    .await;
    plant(
        pool,
        "other",
        "meter.replaced",
        "2.0",
        r#"{"type":"meter.replaced","litres":1}"#,
    )
    .await;
    for store in [warm, open(pool).await] {
        is_refused_to_commands(&store, "newer", "version 3.0").await;
        is_refused_to_commands(&store, "other", "meter.replaced").await;
    }
}

/// Appends what a program of another version decided, past the rules of this one.
async fn plant(pool: &PgPool, id: &str, event_type: &str, version: &str, payload: &str) {
    sqlx::query(
        "insert into events (position, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata, recorded_at)
         select coalesce(max(position), 0) + 1, gen_random_uuid(), 'meter', $1,
                coalesce(max(sequence) filter (where aggregate_id = $1), 0) + 1,
                $2, $3, $4::json, '{}', clock_timestamp()
         from events",
    )
    .bind(id)
    .bind(event_type)
    .bind(version)
    .bind(payload)
    .execute(pool)
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_publishes_what_it_cannot_read() {
    let database = testing::database().await;
    let store = open(&database.pool).await;
    let settings = KafkaSettings {
        brokers: testing::kafka_brokers(),
        topic_prefix: testing::topic_prefix(),
        options: Vec::new(),
        topics: Topics::new([("meter", "meter-events")]),
        partitions: PARTITIONS,
    };
    ensure_topics(&settings).await.unwrap();
    append::<Old>(&store, "old", OldEvent::Flowed { hectolitres: 3 })
        .await
        .unwrap();
    append::<Newer>(&store, "newer", NewerEvent::Flowed { litres: 1 })
        .await
        .unwrap();
    append::<Other>(&store, "other", OtherEvent::Replaced { litres: 1 })
        .await
        .unwrap();
    let relay = RunningRelay::start(&store, &settings, "relay");
    until_published(&database.pool, 3).await;
    relay.stop().await.unwrap();

    let mut records = read_all(&settings).await;
    records.sort_by_key(crate::publishing::Record::position);
    let published: Vec<_> = records
        .iter()
        .map(|record| {
            (
                record.header("ce_type"),
                record.header("ce_eventversion"),
                record.value.as_str(),
            )
        })
        .collect();
    assert_eq!(
        published,
        [
            (
                "meter.flowed",
                "1.0",
                r#"{"type":"meter.flowed","hectolitres":3}"#
            ),
            (
                "meter.flowed",
                "3.0",
                r#"{"type":"meter.flowed","litres":1}"#
            ),
            (
                "meter.replaced",
                "2.0",
                r#"{"type":"meter.replaced","litres":1}"#
            ),
        ]
    );
}
