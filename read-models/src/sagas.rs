//! `sagas`: one row a saga, for operators: what each waits for, which ones halt, and how those that ended did.

mod saga_id;

use std::collections::HashMap;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgExecutor;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::generations::schema_name;
use crate::tables::{Model, Table};

pub use saga_id::{NoSagaId, SagaId};

pub const NAME: &str = "sagas";

/// Changed with every change of the table or of what its rows mean; a generation of another shape
/// is rebuilt.
pub const SHAPE: &str = "sagas-1";

/// Which saga of an order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SagaKind)]
pub enum Kind {
    /// Brings an order to its completion, or undoes it.
    Fulfilment,
    /// Takes an order back whose delivery failed for good.
    Return,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Fulfilment, Self::Return];

    /// Also the aggregate type of its streams, whose ids are those of the orders.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fulfilment => "fulfilment",
            Self::Return => "return",
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut all = Self::ALL.into_iter();
        all.find(|kind| kind.as_str() == text)
            .ok_or_else(|| format!("unknown kind of saga `{text}`"))
    }
}

/// How a saga stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schema(as = SagaState)]
pub enum State {
    /// It waits for an answer.
    Running,
    /// It halts until an operator says to go on.
    Parked,
    /// It ended with everything arranged; of a return, with everything taken back.
    Completed,
    /// It ended with everything undone.
    Cancelled,
}

impl State {
    pub const ALL: [Self; 4] = [
        Self::Running,
        Self::Parked,
        Self::Completed,
        Self::Cancelled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no state of a saga: running, parked, completed or cancelled")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == text)
            .ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl TryFrom<String> for State {
    type Error = UnknownState;

    fn try_from(text: String) -> Result<Self, UnknownState> {
        text.parse()
    }
}

/// A saga.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Saga {
    pub order_id: Uuid,
    #[sqlx(try_from = "String")]
    pub kind: Kind,
    #[sqlx(try_from = "String")]
    pub state: State,
    /// The step whose answer is outstanding, or at which it halts, as `refund`; `None` once ended.
    pub waiting_for: Option<String>,
    /// How often that step was asked for; of one that ended, the last step.
    pub attempts: i32,
    /// Why everything is being undone, or was; `None` while nothing is.
    pub reason: Option<String>,
    /// What went wrong last in this step.
    pub error: Option<String>,
    pub started_at: DateTime<Utc>,
    /// Place of its first event in the log; no two are alike.
    pub started_position: i64,
    pub ended_at: Option<DateTime<Utc>>,
    /// Version of its stream.
    pub version: i64,
}

impl Saga {
    pub fn id(&self) -> SagaId {
        SagaId {
            kind: self.kind,
            order_id: self.order_id,
        }
    }
}

/// A saga and when its patience ends.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Timed {
    #[sqlx(flatten)]
    pub saga: Saga,
    /// `None` where it waits for nothing, or for an operator.
    pub timer_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "order_id, kind, state, waiting_for, attempts, reason, error, started_at, \
                       started_position, ended_at, version";

const TABLE_COMMENT: &str = "A generation of the read model sagas: one row a saga. Derived from the log; \
                             `nakku replay sagas` makes it anew.";
const COLUMN_COMMENTS: &[(&str, &str)] = &[
    ("order_id", "The order, and the id of the saga's stream."),
    (
        "kind",
        "fulfilment or return: the type of the saga's stream.",
    ),
    ("state", "running, parked, completed or cancelled."),
    (
        "waiting_for",
        "The step whose answer is outstanding, or at which it halts; null once ended.",
    ),
    (
        "attempts",
        "How often that step was asked for; of a saga that ended, the last step.",
    ),
    (
        "reason",
        "Why everything is being undone, or was; null while nothing is.",
    ),
    (
        "error",
        "What went wrong last in this step; null where nothing did.",
    ),
    ("started_at", "When it began."),
    ("started_position", "Place of its first event in the log."),
    ("ended_at", "When it ended; null while it goes on."),
    (
        "version",
        "Version of the saga's stream that the row shows.",
    ),
];

/// What its generations are made of.
pub const MODEL: Model = Model {
    name: NAME,
    shape: SHAPE,
    statements: &[
        // A row changes with every step of its order: room in each page keeps that off the index of keys.
        "create table if not exists {schema}.sagas (
           order_id         uuid not null,
           kind             text collate \"C\" not null,
           state            text collate \"C\" not null,
           waiting_for      text collate \"C\",
           attempts         int not null,
           reason           text,
           error            text,
           started_at       timestamptz not null,
           started_position bigint not null,
           ended_at         timestamptz,
           version          bigint not null,
           primary key (order_id, kind)
         ) with (fillfactor = 70)",
        // Lists are read from the newest on, all of them or those in one state.
        "create index if not exists sagas_started on {schema}.sagas (started_position)",
        "create index if not exists sagas_state on {schema}.sagas (state, started_position)",
    ],
    tables: &[Table {
        name: NAME,
        comment: TABLE_COMMENT,
        columns: COLUMN_COMMENTS,
        key: "kind || '-' || order_id",
        personal: &[],
    }],
};

/// Writes many rows, replacing those of the same key. Keys must not repeat within one call.
pub async fn upsert(
    executor: impl PgExecutor<'_>,
    generation: i32,
    rows: &[Saga],
) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let schema = schema_name(NAME, generation);
    let texts = |of: fn(&Saga) -> Option<&str>| rows.iter().map(of).collect::<Vec<_>>();
    sqlx::query(&format!(
        "insert into {schema}.sagas ({COLUMNS})
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[],
                              $7::text[], $8::timestamptz[], $9::bigint[], $10::timestamptz[],
                              $11::bigint[])
         on conflict (order_id, kind) do update set
           state = excluded.state, waiting_for = excluded.waiting_for,
           attempts = excluded.attempts, reason = excluded.reason, error = excluded.error,
           started_at = excluded.started_at, started_position = excluded.started_position,
           ended_at = excluded.ended_at, version = excluded.version"
    ))
    .bind(rows.iter().map(|row| row.order_id).collect::<Vec<_>>())
    .bind(texts(|row| Some(row.kind.as_str())))
    .bind(texts(|row| Some(row.state.as_str())))
    .bind(texts(|row| row.waiting_for.as_deref()))
    .bind(rows.iter().map(|row| row.attempts).collect::<Vec<_>>())
    .bind(texts(|row| row.reason.as_deref()))
    .bind(texts(|row| row.error.as_deref()))
    .bind(rows.iter().map(|row| row.started_at).collect::<Vec<_>>())
    .bind(
        rows.iter()
            .map(|row| row.started_position)
            .collect::<Vec<_>>(),
    )
    .bind(rows.iter().map(|row| row.ended_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.version).collect::<Vec<_>>())
    .execute(executor)
    .await?;
    Ok(())
}

/// Loads the rows of these keys, as far as they exist.
pub async fn load(
    executor: impl PgExecutor<'_>,
    generation: i32,
    keys: &[SagaId],
) -> sqlx::Result<HashMap<SagaId, Saga>> {
    let schema = schema_name(NAME, generation);
    let rows: Vec<Saga> = sqlx::query_as(&format!(
        "select {COLUMNS} from unnest($1::uuid[], $2::text[]) as wanted (order_id, kind)
           join {schema}.sagas using (order_id, kind)"
    ))
    .bind(keys.iter().map(|key| key.order_id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.kind.as_str()).collect::<Vec<_>>())
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
}

/// One saga.
pub async fn by_id(
    executor: impl PgExecutor<'_>,
    generation: i32,
    id: SagaId,
) -> sqlx::Result<Option<Timed>> {
    let schema = schema_name(NAME, generation);
    sqlx::query_as(&format!(
        "select {COLUMNS}, due_at as timer_at from {schema}.sagas
           left join timers on name = kind || '/' || order_id
          where order_id = $1 and kind = $2"
    ))
    .bind(id.order_id)
    .bind(id.kind.as_str())
    .fetch_optional(executor)
    .await
}

/// A page of sagas, all or those in one state, from the newest on: those that began before the position of the last one
/// of the page before.
pub async fn list(
    executor: impl PgExecutor<'_>,
    generation: i32,
    state: Option<State>,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Timed>> {
    let schema = schema_name(NAME, generation);
    let filter = if state.is_some() {
        "state = $3 and"
    } else {
        "$3::text is null and"
    };
    // The page first: joining timers to all of them to show fifty would read both.
    sqlx::query_as(&format!(
        "select {COLUMNS}, due_at as timer_at
           from (select * from {schema}.sagas
                  where {filter} started_position < $1
                  order by started_position desc limit $2) page
           left join timers on name = kind || '/' || order_id
          order by started_position desc"
    ))
    .bind(before.unwrap_or(i64::MAX))
    .bind(limit)
    .bind(state.map(State::as_str))
    .fetch_all(executor)
    .await
}

/// How many sagas are in each state. Reads an index from end to end.
pub async fn count(
    executor: impl PgExecutor<'_>,
    generation: i32,
) -> sqlx::Result<HashMap<State, i64>> {
    let schema = schema_name(NAME, generation);
    let counted: Vec<(String, i64)> = sqlx::query_as(&format!(
        "select state, count(*) from {schema}.sagas group by state"
    ))
    .fetch_all(executor)
    .await?;
    counted
        .into_iter()
        .map(|(state, count)| {
            let state =
                State::try_from(state).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((state, count))
        })
        .collect()
}
