//! The states that decisions look at: cached, and loaded in one query for all that are missing.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lru::LruCache;
use sqlx::{PgConnection, Row};

use crate::event::{COLUMNS, RecordedEvent, Upcasters};
use crate::stream::{State, StreamKey, StreamReference};

/// States kept in memory. Beyond it the one not used for longest goes, and costs a read when it is needed.
const CACHED_STATES_MAX: NonZeroUsize = NonZeroUsize::new(100_000).expect("not zero");

/// A stream's state at a version.
#[derive(Clone)]
pub(crate) struct Versioned {
    pub(crate) state: State,
    pub(crate) version: i64,
}

/// What folding a stream gave: its state, or why it has none.
pub(crate) type Folded = Result<Versioned, String>;

/// The newest states known to this process. They may be stale: the append confirms versions.
pub(crate) struct StateCache {
    states: LruCache<StreamKey, Versioned>,
    upcasters: Upcasters,
    /// Per aggregate type: the shape of its snapshots.
    shapes: HashMap<&'static str, &'static str>,
}

impl StateCache {
    pub(crate) fn new(upcasters: Upcasters, shapes: HashMap<&'static str, &'static str>) -> Self {
        Self {
            states: LruCache::new(CACHED_STATES_MAX),
            upcasters,
            shapes,
        }
    }

    pub(crate) fn put(&mut self, key: StreamKey, state: Versioned) {
        self.states.put(key, state);
    }

    pub(crate) fn forget(&mut self, key: &StreamKey) {
        self.states.pop(key);
    }

    pub(crate) fn shape(&self, aggregate_type: &str) -> Option<&'static str> {
        self.shapes.get(aggregate_type).copied()
    }

    /// The states of all these streams; those not in memory are read in one query.
    pub(crate) async fn load(
        &mut self,
        connection: &mut PgConnection,
        streams: &[StreamReference],
    ) -> sqlx::Result<HashMap<StreamKey, Folded>> {
        let mut found = HashMap::with_capacity(streams.len());
        let mut missing = Vec::new();
        for stream in streams {
            if found.contains_key(&stream.key) {
                continue;
            }
            let known = match self.states.get(&stream.key) {
                Some(state) => Some(state.clone()),
                None if stream.begins => Some(Versioned {
                    state: (stream.fold.initial)(),
                    version: 0,
                }),
                None => None,
            };
            match known {
                Some(state) => {
                    found.insert(stream.key.clone(), Ok(state));
                }
                None => {
                    // Holds the place, so that a stream named twice is read once.
                    found.insert(stream.key.clone(), Err(String::new()));
                    missing.push(stream);
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let histories = read_histories(connection, &missing, &self.shapes).await?;
        for (stream, history) in missing.into_iter().zip(histories) {
            let folded = self.fold(stream, history);
            if let Ok(state) = &folded {
                self.put(stream.key.clone(), state.clone());
            }
            found.insert(stream.key.clone(), folded);
        }
        Ok(found)
    }

    fn fold(&self, stream: &StreamReference, history: History) -> Folded {
        let corrupt = |error: &dyn std::fmt::Display| {
            format!("the history of {} cannot be folded: {error}", stream.key)
        };
        // A snapshot is a cache: one that cannot be read must not stand in the way, but its events were
        // not fetched; the shape is there so that this does not happen.
        let (state, mut version) = match history.snapshot {
            Some((sequence, json)) => (
                (stream.fold.from_snapshot)(&json).map_err(|error| corrupt(&error))?,
                sequence,
            ),
            None => ((stream.fold.initial)(), 0),
        };
        let mut events = Vec::with_capacity(history.events.len());
        for event in history.events {
            if event.sequence != version + 1 {
                return Err(corrupt(&format!(
                    "version {} follows {version}",
                    event.sequence
                )));
            }
            version = event.sequence;
            events.push(self.upcasters.upcast(event));
        }
        let state = catch_unwind(AssertUnwindSafe(|| (stream.fold.events)(state, &events)))
            .map_err(|panic| corrupt(&panic_message(&*panic)))?
            .map_err(|error| corrupt(&format!("{error}: {}", error.source)))?;
        Ok(Versioned { state, version })
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked".to_owned())
}

#[derive(Default)]
struct History {
    snapshot: Option<(i64, String)>,
    events: Vec<RecordedEvent>,
}

/// Snapshots and the events after them, of all streams in one query.
async fn read_histories(
    connection: &mut PgConnection,
    streams: &[&StreamReference],
    shapes: &HashMap<&'static str, &'static str>,
) -> sqlx::Result<Vec<History>> {
    let types: Vec<&str> = streams.iter().map(|s| s.key.aggregate_type).collect();
    let ids: Vec<&str> = streams.iter().map(|s| &*s.key.aggregate_id).collect();
    let shapes: Vec<Option<&str>> = types.iter().map(|t| shapes.get(t).copied()).collect();
    let rows = sqlx::query(&format!(
        "select {COLUMNS}, stream, snapshot_sequence, snapshot_state
         from (
           select u.stream, u.type, u.id, s.sequence as snapshot_sequence, s.state::text as snapshot_state
           from unnest($1::text[], $2::text[], $3::text[]) with ordinality u(type, id, shape, stream)
           left join lateral (
             select s.sequence, s.state from snapshots s
             where s.aggregate_type = u.type and s.aggregate_id = u.id and s.shape = u.shape
           ) s on true
         ) wanted
         left join lateral (
           select * from events e
           where e.aggregate_type = wanted.type and e.aggregate_id = wanted.id
             and e.sequence > coalesce(wanted.snapshot_sequence, 0)
           order by e.sequence
         ) e on true
         order by stream, sequence"
    ))
    .bind(&types)
    .bind(&ids)
    .bind(&shapes)
    .fetch_all(connection)
    .await?;

    let mut histories: Vec<History> = streams.iter().map(|_| History::default()).collect();
    for row in rows {
        let stream: i64 = row.try_get("stream")?;
        let history = &mut histories[usize::try_from(stream - 1).expect("ordinality is from 1")];
        if history.snapshot.is_none()
            && let Some(sequence) = row.try_get("snapshot_sequence")?
        {
            history.snapshot = Some((sequence, row.try_get("snapshot_state")?));
        }
        if row.try_get::<Option<i64>, _>(0)?.is_some() {
            history.events.push(RecordedEvent::from_row(&row)?);
        }
    }
    Ok(histories)
}

/// A state to be kept as a snapshot.
pub(crate) struct Snapshot {
    pub(crate) key: StreamKey,
    pub(crate) version: i64,
    pub(crate) shape: &'static str,
    pub(crate) json: String,
}

/// Keeps a snapshot; an older one of the same stream never replaces a newer one of the same shape.
pub(crate) async fn write_snapshot(
    executor: impl sqlx::PgExecutor<'_>,
    snapshot: &Snapshot,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into snapshots as s (aggregate_type, aggregate_id, sequence, shape, state)
         values ($1, $2, $3, $4, $5::json)
         on conflict (aggregate_type, aggregate_id) do update
         set sequence = excluded.sequence, shape = excluded.shape, state = excluded.state
         where s.shape <> excluded.shape or s.sequence < excluded.sequence",
    )
    .bind(snapshot.key.aggregate_type)
    .bind(&*snapshot.key.aggregate_id)
    .bind(snapshot.version)
    .bind(snapshot.shape)
    .bind(&snapshot.json)
    .execute(executor)
    .await?;
    Ok(())
}
