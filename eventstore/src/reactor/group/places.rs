//! How far a reactor has come in each partition, as the database knows it.

use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::Layout;
use crate::LOG;
use crate::checkpoint::Checkpoint;
use crate::kafka::Place;
use crate::reactor::lane::RecordHint;
use crate::reactor::{Begins, lease_name, progress};
use crate::transaction::begin;

/// How far a reactor has come in a partition.
#[derive(FromRow)]
struct Row {
    topic: String,
    partition: i32,
    position: i64,
    event_id: Option<Uuid>,
    record_offset: Option<i64>,
    record_position: Option<i64>,
}

/// A partition, where it goes on, and where its records do.
pub(super) struct Stand {
    pub(super) place: Place,
    pub(super) reached: Checkpoint,
    pub(super) hint: Option<RecordHint>,
}

/// Sees to it that every partition has its row, and no other: a reactor that comes from the store feed goes on above where
/// it stands there. Returns the epoch under which progress is saved.
pub(super) async fn start(
    pool: &PgPool,
    consumer: &str,
    begins: Begins,
    layout: &Layout,
) -> sqlx::Result<i64> {
    let mut transaction = begin(pool).await?;
    let at = progress::start(&mut transaction, consumer, begins).await?;
    let (topics, partitions, counts) = columns(layout);
    let removed = sqlx::query(
        "delete from reactor_progress r
         where r.consumer = $1 and r.log = $2 and not exists (
           select from unnest($3::text[], $4::int[], $5::int[]) as t (topic, partition, partitions)
           where t.topic = r.topic and t.partition = r.partition and t.partitions = r.partitions)",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(&topics)
    .bind(&partitions)
    .bind(&counts)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "insert into reactor_progress (consumer, log, topic, partition, partitions, position, event_id)
         select $1, $2, t.topic, t.partition, t.partitions, $6, $7
         from unnest($3::text[], $4::int[], $5::int[]) as t (topic, partition, partitions)
         on conflict (consumer, log, topic, partition) do nothing",
    )
    .bind(consumer)
    .bind(LOG)
    .bind(&topics)
    .bind(&partitions)
    .bind(&counts)
    .bind(at.position)
    .bind(at.event_id)
    .execute(&mut *transaction)
    .await?;
    // Nobody holds it: its epoch alone counts, which changes when the progress is set anew. So it does where partitions mean
    // other streams than before: members that still go by the old ones save nothing from then on.
    let anew = i64::from(removed.rows_affected() > 0);
    let epoch: i64 = sqlx::query_scalar(
        "insert into leases as l (name, holder, epoch, expires_at)
         values ($1, 'group', 1, clock_timestamp())
         on conflict (name) do update set epoch = l.epoch + $2 returning epoch",
    )
    .bind(lease_name(consumer))
    .bind(anew)
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(epoch)
}

fn columns(layout: &Layout) -> (Vec<&str>, Vec<i32>, Vec<i32>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for ((topic, partition), count) in layout.places() {
        columns.0.push(topic.as_str());
        columns.1.push(*partition);
        columns.2.push(count);
    }
    columns
}

/// Where each partition goes on: after what its members have handled, or after what was handled on the store feed,
/// whichever is further.
pub(super) async fn read(pool: &PgPool, consumer: &str) -> sqlx::Result<Vec<Stand>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select topic, partition, position, event_id, record_offset, record_position
         from reactor_progress where consumer = $1 and log = $2",
    )
    .bind(consumer)
    .bind(LOG)
    .fetch_all(pool)
    .await?;
    let on_store = Checkpoint::read(pool, consumer, 0).await?;
    let stand = |row: Row| {
        let reached = Checkpoint {
            position: row.position,
            event_id: row.event_id,
        };
        let hint = |(offset, position)| RecordHint { offset, position };
        Stand {
            place: (row.topic, row.partition),
            reached: if on_store.position > reached.position {
                on_store
            } else {
                reached
            },
            hint: row.record_offset.zip(row.record_position).map(hint),
        }
    };
    Ok(rows.into_iter().map(stand).collect())
}
