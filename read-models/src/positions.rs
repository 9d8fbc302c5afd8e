//! Read your writes: a query waits until its read model has come as far as the command it follows.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

use crate::LOG;

/// Between two looks at a checkpoint. Short beside the 10 ms that a write takes to arrive; one
/// look is one indexed row.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The generation that answers, and how far it had come when it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    pub generation: i32,
    pub position: i64,
}

/// A read model cannot answer yet; asking again later may succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    #[error("{name} is at position {position}, {wanted} is asked for")]
    Position {
        name: String,
        position: i64,
        wanted: i64,
    },
    /// No generation has been built, or none of this program's shape.
    #[error("{name} is being built")]
    Building { name: String },
}

/// Why a read model did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error(transparent)]
    Behind(#[from] Behind),
    #[error("database error")]
    Database(#[from] sqlx::Error),
}

#[derive(sqlx::FromRow)]
struct Row {
    live: Option<i32>,
    live_shape: Option<String>,
    position: Option<i64>,
}

/// Waits until the live generation of a Postgres read model has come to `min_position` (0: as it
/// is) and says which one that is. A live generation of another shape than this program's answers
/// nothing: its rows cannot be read.
pub async fn await_position(
    pool: &PgPool,
    name: &str,
    min_position: i64,
    deadline: Instant,
) -> Result<Live, Unavailable> {
    loop {
        match look_up(pool, name, min_position).await? {
            Ok(live) => return Ok(live),
            Err(behind) if Instant::now() + POLL_INTERVAL >= deadline => return Err(behind.into()),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Generation and position in one statement: a switch in between cannot pair one with the other's.
async fn look_up(pool: &PgPool, name: &str, wanted: i64) -> sqlx::Result<Result<Live, Behind>> {
    let row: Option<Row> = sqlx::query_as(
        "select p.live, p.live_shape, c.position
           from projections p
           left join checkpoints c on c.consumer = p.name and c.generation = p.live and c.log = $2
          where p.name = $1",
    )
    .bind(name)
    .bind(LOG)
    .fetch_optional(pool)
    .await?;
    let name = name.to_owned();
    let Some(Row {
        live: Some(generation),
        live_shape,
        position,
    }) = row
    else {
        return Ok(Err(Behind::Building { name }));
    };
    if live_shape.as_deref() != crate::shape(&name) {
        return Ok(Err(Behind::Building { name }));
    }
    let position = position.unwrap_or(0);
    Ok(if position >= wanted {
        Ok(Live {
            generation,
            position,
        })
    } else {
        Err(Behind::Position {
            name,
            position,
            wanted,
        })
    })
}
