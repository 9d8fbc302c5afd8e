//! What Kafka brought, held against the log: the log is the truth.
//!
//! Topics outlive a database that was restored or made anew, and anybody may write into them. So no record is
//! handed out before the log has been found to hold its event at its position. It costs one look into the log
//! a batch, of the ids alone.

use sqlx::PgPool;
use uuid::Uuid;

use crate::checkpoint::Checkpoint;
use crate::event::RecordedEvent;
use crate::feed::FeedError;
use crate::log;

/// What the log says about the next events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirmed {
    /// So many of them, from the first, are events of the log.
    pub(super) events: usize,
    /// Whether the log ends with those: there is nothing at the position after them.
    pub(super) log_ends: bool,
}

/// Compares the ids that Kafka brought for the positions after the checkpoint with those of the log.
///
/// # Errors
/// [`FeedError::Rewound`] where the log does not hold the checkpoint's event any more.
pub(super) async fn confirm(
    pool: &PgPool,
    checkpoint: Checkpoint,
    ids: &[Uuid],
) -> Result<Confirmed, FeedError> {
    let after = checkpoint.position;
    let upto = after.saturating_add(i64::try_from(ids.len()).unwrap_or(i64::MAX));
    let mut held: Vec<Uuid> = sqlx::query_scalar(
        "select event_id from events where position >= $1 and position <= $2 order by position",
    )
    .bind(after)
    .bind(upto)
    .fetch_all(pool)
    .await?;
    if after > 0 {
        if held.first().copied() != checkpoint.event_id {
            return Err(FeedError::Rewound { position: after });
        }
        held.remove(0);
    }
    let events = ids
        .iter()
        .zip(&held)
        .take_while(|(id, held)| id == held)
        .count();
    Ok(Confirmed {
        events,
        log_ends: events == held.len(),
    })
}

/// The next events from the log itself.
///
/// # Errors
/// [`FeedError::Rewound`] as above, [`FeedError::Hole`] where someone deleted from the log.
pub(super) async fn read(
    pool: &PgPool,
    checkpoint: Checkpoint,
    limit: usize,
) -> Result<Vec<RecordedEvent>, FeedError> {
    let after = checkpoint.position;
    let rows = i64::try_from(limit).unwrap_or(i64::MAX - 1);
    let overlap = i64::from(after > 0);
    let mut page = log::read_after(pool, after - overlap, rows + overlap).await?;
    if after > 0 {
        if page.first().map(|event| event.event_id) != checkpoint.event_id {
            return Err(FeedError::Rewound { position: after });
        }
        page.remove(0);
    }
    for (position, event) in (after + 1..).zip(&page) {
        if event.position != position {
            return Err(FeedError::Hole { position });
        }
    }
    Ok(page)
}
