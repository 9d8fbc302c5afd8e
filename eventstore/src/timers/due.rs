//! Reading timers that are due.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;

use super::DueTimer;

/// Most timers read at once.
const PAGE_MAX: usize = 256;

/// Timers that are due, in the order in which they are.
pub(super) struct Page {
    pub(super) due: Vec<DueTimer>,
    /// Whether there may be more after the last of them.
    pub(super) is_full: bool,
    /// How long until the next one is due; none where there is no later one.
    pub(super) next: Option<Duration>,
}

type Row = (String, DateTime<Utc>, Option<Value>, f64);

/// Reads timers of a prefix that are due, after the one given, by the database's clock: as many as are wanted, or a first part
/// of them. Locks nothing.
pub(super) async fn read(
    pool: &PgPool,
    prefix: &str,
    after: Option<&DueTimer>,
    wanted: usize,
) -> sqlx::Result<Page> {
    let limit = wanted.clamp(1, PAGE_MAX);
    // One moment for both parts, and one that an index can be asked about.
    let rows: Vec<Row> = sqlx::query_as(
        "(select name, due_at, payload, 0::float8 from timers
          where left(name, strpos(name, '/')) = $1 and due_at <= statement_timestamp()
            and (due_at, name) > ($2, $3)
          order by due_at, name limit $4)
         union all
         (select name, due_at, null, extract(epoch from due_at - statement_timestamp())::float8
          from timers
          where left(name, strpos(name, '/')) = $1 and due_at > statement_timestamp()
          order by due_at, name limit 1)",
    )
    .bind(prefix)
    .bind(after.map_or(DateTime::UNIX_EPOCH, |timer| timer.due_at))
    .bind(after.map_or("", |timer| timer.name.as_str()))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    let mut page = Page {
        due: Vec::with_capacity(rows.len()),
        is_full: false,
        next: None,
    };
    for (name, due_at, payload, seconds) in rows {
        match payload {
            Some(payload) => page.due.push(DueTimer {
                name,
                due_at,
                payload,
            }),
            None => page.next = Duration::try_from_secs_f64(seconds).ok(),
        }
    }
    page.is_full = page.due.len() == limit;
    Ok(page)
}
