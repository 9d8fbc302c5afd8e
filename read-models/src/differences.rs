//! What two generations of a read model disagree about.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::generations::schema_name;

/// Differences that a report shows in full; the rest is only counted.
pub const DIFFERENCES_SHOWN_MAX: usize = 20;

/// One key on which two generations disagree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Difference {
    pub key: String,
    /// The live generation's row; `null` if only the rebuilt one has the key.
    pub live: Option<Value>,
    /// The rebuilt generation's row; `null` if only the live one has the key.
    pub rebuilt: Option<Value>,
}

/// A comparison of two generations at one position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Differences {
    pub live_rows: i64,
    pub rebuilt_rows: i64,
    /// How many keys differ.
    pub count: i64,
    /// The first 20 of them, by key.
    pub first: Vec<Difference>,
}

impl Differences {
    /// Whether the generations are equal.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Compares two generations of a Postgres model by key. `key` is an SQL expression over a row of
/// `table`; it is ours, never a client's text.
pub(crate) async fn between(
    connection: &mut PgConnection,
    model: &str,
    table: &str,
    key: &str,
    live: i32,
    rebuilt: i32,
) -> sqlx::Result<Differences> {
    let live = schema_name(model, live);
    let rebuilt = schema_name(model, rebuilt);
    let count_of = |schema: &str| format!("select count(*) from {schema}.{table}");
    let live_rows = sqlx::query_scalar(&count_of(&live))
        .fetch_one(&mut *connection)
        .await?;
    let rebuilt_rows = sqlx::query_scalar(&count_of(&rebuilt))
        .fetch_one(&mut *connection)
        .await?;
    let rows: Vec<(String, Option<Value>, Option<Value>, i64)> = sqlx::query_as(&format!(
        "select key, l.row, r.row, count(*) over ()
           from (select {key} as key, to_jsonb(t) as row from {live}.{table} t) l
           full join (select {key} as key, to_jsonb(t) as row from {rebuilt}.{table} t) r
          using (key)
          where l.row is distinct from r.row
          order by key collate \"C\"
          limit {DIFFERENCES_SHOWN_MAX}"
    ))
    .fetch_all(connection)
    .await?;
    Ok(Differences {
        live_rows,
        rebuilt_rows,
        count: rows.first().map_or(0, |row| row.3),
        first: rows
            .into_iter()
            .map(|(key, live, rebuilt, _)| Difference { key, live, rebuilt })
            .collect(),
    })
}
