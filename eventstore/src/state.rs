//! The states that decisions look at: cached, and loaded by one query for all that are missing. What lies
//! behind a snapshot fits into one; a longer history is read and folded page by page, and gets a snapshot.

mod cached;
mod current;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard};

use sqlx::{PgConnection, PgPool, Row};

use self::cached::Cached;
use crate::event::{COLUMNS, RecordedEvent, Upcasters};
use crate::stream::{State, StreamKey, StreamReference};

/// Events after which a stream's state is kept as a snapshot: as many as a cold command may have to read.
pub(crate) const SNAPSHOT_EVERY: i64 = 1_000;

/// Events read by one query, of all its streams together: bounds memory, and the time for which a decision
/// with the lock in hand folds between two statements. Ten streams fit that are far behind their snapshots.
const HISTORY_PAGE_EVENTS: usize = 10_000;

/// A stream's state at a version.
#[derive(Clone)]
pub(crate) struct Versioned {
    pub(crate) state: State,
    pub(crate) version: i64,
}

/// What folding a stream gave: its state, or why it has none.
pub(crate) type Folded = Result<Versioned, String>;

/// The newest states known to this process. They may be stale: the append confirms versions.
/// Shared by the lanes of the committer, which never work on the same stream at once.
pub(crate) struct StateCache {
    states: Mutex<Cached>,
    upcasters: Upcasters,
    /// Per aggregate type: the shape of its snapshots.
    shapes: HashMap<&'static str, &'static str>,
    /// For the snapshots of what was long to load.
    pool: PgPool,
}

impl StateCache {
    pub(crate) fn new(
        upcasters: Upcasters,
        shapes: HashMap<&'static str, &'static str>,
        pool: PgPool,
    ) -> Self {
        Self {
            states: Mutex::default(),
            upcasters,
            shapes,
            pool,
        }
    }

    fn states(&self) -> MutexGuard<'_, Cached> {
        self.states.lock().expect("no panic while held")
    }

    /// Keeps a state; `to_snapshot` tells how large it is.
    pub(crate) fn put(
        &self,
        key: StreamKey,
        state: Versioned,
        to_snapshot: fn(&State) -> serde_json::Result<String>,
    ) {
        self.states().put(key, state, to_snapshot);
    }

    pub(crate) fn forget(&self, key: &StreamKey) {
        self.states().forget(key);
    }

    pub(crate) fn shape(&self, aggregate_type: &str) -> Option<&'static str> {
        self.shapes.get(aggregate_type).copied()
    }

    /// The states of all these streams; those not in memory are read in one query, or more where histories
    /// are longer than a page.
    pub(crate) async fn load(
        &self,
        connection: &mut PgConnection,
        streams: &[StreamReference],
    ) -> sqlx::Result<HashMap<StreamKey, Folded>> {
        let mut found = HashMap::with_capacity(streams.len());
        let mut missing = Vec::new();
        for stream in streams {
            if found.contains_key(&stream.key) {
                continue;
            }
            let known = match self.states().get(&stream.key) {
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
                    missing.push(Loading::new(stream, self.shape(stream.key.aggregate_type)));
                }
            }
        }
        while !missing.is_empty() {
            missing = self.load_page(connection, missing, &mut found).await?;
        }
        Ok(found)
    }

    /// Reads and folds one page of every stream; hands back those whose histories go on.
    async fn load_page<'a>(
        &self,
        connection: &mut PgConnection,
        streams: Vec<Loading<'a>>,
        found: &mut HashMap<StreamKey, Folded>,
    ) -> sqlx::Result<Vec<Loading<'a>>> {
        let limit = (HISTORY_PAGE_EVENTS / streams.len()).max(1);
        let pages = read_pages(connection, &streams, limit).await?;
        let mut longer = Vec::new();
        for (mut loading, page) in streams.into_iter().zip(pages) {
            let key = loading.stream.key.clone();
            let is_last = page.events.len() < limit;
            match self.fold(&mut loading, page) {
                Ok(AllFolded(true)) if is_last => {
                    self.keep_if_long(&loading);
                    let to_snapshot = loading.stream.fold.to_snapshot;
                    self.put_newer(key.clone(), loading.now.clone(), to_snapshot);
                    found.insert(key, Ok(loading.now));
                }
                Ok(_) => longer.push(loading),
                Err(reason) => {
                    let reason = format!("the history of {key} cannot be folded: {reason}");
                    found.insert(key, Err(reason));
                }
            }
        }
        Ok(longer)
    }

    fn fold(&self, loading: &mut Loading<'_>, page: Page) -> Result<AllFolded, String> {
        if let Some((sequence, json)) = page.snapshot {
            match (loading.stream.fold.from_snapshot)(&json) {
                Ok(state) => loading.begin_at(state, sequence),
                Err(error) => {
                    // A snapshot is a cache and must not stand in the way; what it stood for was not read.
                    tracing::warn!(stream = %loading.stream.key, %error, "a snapshot cannot be read");
                    loading.shape = None;
                    return Ok(AllFolded(false));
                }
            }
        }
        loading.shape = None;
        let mut version = loading.now.version;
        for event in &page.events {
            if event.sequence != version + 1 {
                return Err(format!("version {} follows {version}", event.sequence));
            }
            version = event.sequence;
        }
        let (fold, state) = (loading.stream.fold.events, loading.now.state.clone());
        let upcast = |event| self.upcasters.upcast(event);
        // A rule or an upcaster that panics over what it finds fails this stream, not the committer.
        let state = catch_unwind(AssertUnwindSafe(|| {
            let events: Vec<_> = page.events.into_iter().map(upcast).collect();
            fold(state, &events)
        }))
        .map_err(|panic| panic_message(&*panic))?
        .map_err(|error| format!("{error}: {}", error.source))?;
        loading.now = Versioned { state, version };
        Ok(AllFolded(true))
    }

    /// The next process to load this stream is to read one page: its snapshot was missing, of another shape,
    /// or left far behind by snapshots that could not be written.
    fn keep_if_long(&self, loading: &Loading<'_>) {
        let key = &loading.stream.key;
        let read = loading.now.version - loading.began_at;
        if let Some(shape) = self.shape(key.aggregate_type)
            && read > SNAPSHOT_EVERY
        {
            keep_snapshot(
                &self.pool,
                key,
                shape,
                &loading.now,
                loading.stream.fold.to_snapshot,
            );
        }
    }
}

/// Whether the whole page is in the state. If not, the stream begins anew, without its snapshot.
struct AllFolded(bool);

/// A stream on the way to its state.
struct Loading<'a> {
    stream: &'a StreamReference,
    /// The state as far as the history is folded.
    now: Versioned,
    /// Version of the snapshot that folding began with; 0 without one.
    began_at: i64,
    /// The shape of a snapshot to begin with; None once the history is being read.
    shape: Option<&'static str>,
}

impl<'a> Loading<'a> {
    fn new(stream: &'a StreamReference, shape: Option<&'static str>) -> Self {
        let now = Versioned {
            state: (stream.fold.initial)(),
            version: 0,
        };
        Self {
            stream,
            now,
            began_at: 0,
            shape,
        }
    }

    fn begin_at(&mut self, state: State, version: i64) {
        self.now = Versioned { state, version };
        self.began_at = version;
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

/// What one query yields of a stream.
#[derive(Default)]
struct Page {
    snapshot: Option<(i64, String)>,
    events: Vec<RecordedEvent>,
}

/// Snapshots where they are asked for, and up to `limit` events after them or after the version reached, of
/// all streams in one query. The first event after a snapshot carries it, so that it is sent once.
async fn read_pages(
    connection: &mut PgConnection,
    streams: &[Loading<'_>],
    limit: usize,
) -> sqlx::Result<Vec<Page>> {
    let keys = || streams.iter().map(|loading| &loading.stream.key);
    let types: Vec<&str> = keys().map(|key| key.aggregate_type).collect();
    let ids: Vec<&str> = keys().map(|key| &*key.aggregate_id).collect();
    let shapes: Vec<Option<&str>> = streams.iter().map(|loading| loading.shape).collect();
    let versions: Vec<i64> = streams.iter().map(|loading| loading.now.version).collect();
    let rows = sqlx::query(&format!(
        "select {COLUMNS}, stream, snapshot_sequence,
                case when e.sequence is null or e.sequence = snapshot_sequence + 1
                     then snapshot_state::text end as snapshot_state
         from (
           select u.stream, u.type, u.id, s.sequence as snapshot_sequence, s.state as snapshot_state,
                  coalesce(s.sequence, u.version) as version
           from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
             with ordinality u(type, id, shape, version, stream)
           left join lateral (
             select s.sequence, s.state from snapshots s
             where s.aggregate_type = u.type and s.aggregate_id = u.id and s.shape = u.shape
           ) s on true
         ) wanted
         left join lateral (
           select * from events e
           where e.aggregate_type = wanted.type and e.aggregate_id = wanted.id
             and e.sequence > wanted.version
           order by e.sequence limit $5
         ) e on true
         order by stream, sequence"
    ))
    .bind(&types)
    .bind(&ids)
    .bind(&shapes)
    .bind(&versions)
    .bind(i64::try_from(limit).expect("a page is small"))
    .fetch_all(connection)
    .await?;

    let mut pages: Vec<Page> = streams.iter().map(|_| Page::default()).collect();
    for row in rows {
        let stream: i64 = row.try_get("stream")?;
        let page = &mut pages[usize::try_from(stream - 1).expect("ordinality is from 1")];
        if page.snapshot.is_none()
            && let Some(sequence) = row.try_get("snapshot_sequence")?
        {
            // Absent only before a hole in the history, which folding it from its beginning then names.
            let state: Option<String> = row.try_get("snapshot_state")?;
            page.snapshot = Some((sequence, state.unwrap_or_default()));
        }
        if row.try_get::<Option<i64>, _>(0)?.is_some() {
            page.events.push(RecordedEvent::from_row(&row)?);
        }
    }
    Ok(pages)
}

/// Keeps a state as the snapshot of its stream, off the caller's path: one that fails costs a longer read
/// later, nothing else.
pub(crate) fn keep_snapshot(
    pool: &PgPool,
    key: &StreamKey,
    shape: &'static str,
    now: &Versioned,
    to_snapshot: fn(&State) -> serde_json::Result<String>,
) {
    let json = match to_snapshot(&now.state) {
        Ok(json) => json,
        Err(error) => {
            tracing::error!(stream = %key, %error, "a state cannot be written as a snapshot");
            return;
        }
    };
    let (pool, key, version) = (pool.clone(), key.clone(), now.version);
    tokio::spawn(async move {
        if let Err(error) = write_snapshot(&pool, &key, version, shape, &json).await {
            tracing::warn!(stream = %key, %error, "a snapshot could not be written");
        }
    });
}

/// One of an older version never replaces one of a newer version and the same shape. One of the same version
/// does: it may be written because the present one cannot be read.
async fn write_snapshot(
    pool: &PgPool,
    key: &StreamKey,
    version: i64,
    shape: &str,
    json: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into snapshots as s (aggregate_type, aggregate_id, sequence, shape, state)
         values ($1, $2, $3, $4, $5::json)
         on conflict (aggregate_type, aggregate_id) do update
         set sequence = excluded.sequence, shape = excluded.shape, state = excluded.state
         where s.shape <> excluded.shape or s.sequence <= excluded.sequence",
    )
    .bind(key.aggregate_type)
    .bind(&*key.aggregate_id)
    .bind(version)
    .bind(shape)
    .bind(json)
    .execute(pool)
    .await?;
    Ok(())
}
