//! Which events the log holds, without their contents.

use sqlx::PgPool;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::feed::FeedError;
use crate::log;

/// Positions looked at by one query.
const SCAN_MAX: i64 = 5_000;

/// An event of a type that is asked for.
pub(super) struct Entry {
    pub(super) position: i64,
    pub(super) event_id: Uuid,
    pub(super) aggregate_type: String,
    pub(super) aggregate_id: String,
}

/// What the log holds after a checkpoint.
pub(super) struct Scan {
    pub(super) entries: Vec<Entry>,
    /// Up to here it was looked at.
    pub(super) upto: Checkpoint,
}

/// Looks at what the log holds of some types after a checkpoint, up to the head as far as it is known.
///
/// # Errors
/// [`FeedError::Rewound`] where the log does not hold the checkpoint's event any more.
pub(super) async fn scan(
    pool: &PgPool,
    types: &[&str],
    after: Checkpoint,
    head: i64,
) -> Result<Scan, FeedError> {
    let mut upto = head.clamp(after.position, after.position + SCAN_MAX);
    let (mut rows, last) = loop {
        let mut rows = read(pool, types, after.position, upto).await?;
        if after.position > 0 {
            let held = (!rows.is_empty()).then(|| rows.remove(0));
            let held = held.map(|held| (held.position, Some(held.event_id)));
            if held != Some((after.position, after.event_id)) {
                let position = after.position;
                return Err(FeedError::Rewound { position });
            }
        }
        if upto == after.position {
            break (rows, after);
        }
        match rows.last().filter(|last| last.position == upto) {
            Some(last) => {
                let event_id = Some(last.event_id);
                let position = upto;
                break (rows, Checkpoint { position, event_id });
            }
            // The log ends before the newest position that was known: it was rewound, not below the checkpoint.
            None => {
                let end = log::head(pool).await?.position;
                if end >= upto {
                    return Err(FeedError::Hole { position: upto });
                }
                upto = end.max(after.position);
            }
        }
    };
    rows.retain(|entry| types.contains(&entry.aggregate_type.as_str()));
    Ok(Scan {
        entries: rows,
        upto: last,
    })
}

/// The events of these types in a range, and those at both its ends whatever they are.
async fn read(pool: &PgPool, types: &[&str], from: i64, to: i64) -> sqlx::Result<Vec<Entry>> {
    let rows: Vec<(i64, Uuid, String, String)> = sqlx::query_as(
        "select position, event_id, aggregate_type, aggregate_id from events
         where position >= $1 and position <= $2
           and (aggregate_type = any($3) or position = $1 or position = $2)
         order by position",
    )
    .bind(from)
    .bind(to)
    .bind(types)
    .fetch_all(pool)
    .await?;
    let entry = |(position, event_id, aggregate_type, aggregate_id)| Entry {
        position,
        event_id,
        aggregate_type,
        aggregate_id,
    };
    Ok(rows.into_iter().map(entry).collect())
}
