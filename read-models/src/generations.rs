//! Which generation of a read model answers queries: the table `projections`.
//!
//! A rebuild makes generation n+1 beside n, and switching is an update of one row. The generation
//! before the live one stays, so that going back is the same update the other way.

use sqlx::PgExecutor;

/// A read model's row.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Registration {
    pub name: String,
    /// The generation that answers queries; `None` until the first one is built.
    pub live: Option<i32>,
    /// The shape of the program that made it.
    pub live_shape: Option<String>,
    /// The generation before, to go back to.
    pub previous: Option<i32>,
    pub previous_shape: Option<String>,
    /// The generation that a rebuild is making.
    pub building: Option<i32>,
    pub paused: bool,
    /// Why the read model stopped, in one line; `None` while it works.
    pub failure: Option<String>,
}

impl Registration {
    /// Every generation that is at rest, in ascending order.
    pub fn generations(&self) -> Vec<i32> {
        let mut generations: Vec<i32> = [self.live, self.previous, self.building]
            .into_iter()
            .flatten()
            .collect();
        generations.sort_unstable();
        generations
    }

    /// Whether the live generation exists and was made by a program of this shape.
    pub fn is_live_in(&self, shape: &str) -> bool {
        self.live.is_some() && self.live_shape.as_deref() == Some(shape)
    }
}

/// A generation begun by [`begin_building`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Begun {
    pub generation: i32,
    /// What an earlier rebuild left unfinished, to be dropped.
    pub abandoned: Option<i32>,
}

/// Why a change of generations was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("projection {name} is not registered")]
    Unknown { name: String },
    #[error("projection {name} is not building generation {generation}")]
    NotBuilding { name: String, generation: i32 },
    #[error("projection {name} has no previous generation to go back to")]
    NoPrevious { name: String },
    #[error(
        "projection {name} cannot go back to generation {previous}: it has shape `{found}`, this program has `{shape}`; run `nakku replay {model}` instead",
        model = crate::model(name)
    )]
    OtherShape {
        name: String,
        previous: i32,
        found: String,
        shape: String,
    },
    #[error("database error")]
    Database(#[from] sqlx::Error),
}

const COLUMNS: &str = "name, live, live_shape, previous, previous_shape, building, paused, failure";

/// Registers a read model; does nothing if it is registered.
pub async fn ensure(executor: impl PgExecutor<'_>, name: &str) -> sqlx::Result<()> {
    sqlx::query("insert into projections (name) values ($1) on conflict do nothing")
        .bind(name)
        .execute(executor)
        .await?;
    Ok(())
}

/// A read model's row, if it is registered.
pub async fn read(executor: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<Registration>> {
    sqlx::query_as(&format!(
        "select {COLUMNS} from projections where name = $1"
    ))
    .bind(name)
    .fetch_optional(executor)
    .await
}

/// Every registered read model, by name.
pub async fn list(executor: impl PgExecutor<'_>) -> sqlx::Result<Vec<Registration>> {
    sqlx::query_as(&format!("select {COLUMNS} from projections order by name"))
        .fetch_all(executor)
        .await
}

/// Draws the number of a new generation: above every one that the row names, and above `taken`, for
/// files of other generations that the database does not know.
pub async fn begin_building(
    executor: impl PgExecutor<'_>,
    name: &str,
    taken: i32,
) -> Result<Begun, Error> {
    sqlx::query_as(
        "with before as (select name, building from projections where name = $1 for update)
         update projections p
            set building = greatest(p.live, p.previous, p.building, $2) + 1
           from before
          where p.name = before.name
         returning p.building as generation, before.building as abandoned",
    )
    .bind(name)
    .bind(taken)
    .fetch_optional(executor)
    .await?
    .ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
    })
}

/// Gives up the generation that is being built and returns it, to be dropped.
pub async fn cancel_building(
    executor: impl PgExecutor<'_>,
    name: &str,
) -> sqlx::Result<Option<i32>> {
    let cancelled: Option<Option<i32>> = sqlx::query_scalar(
        "with before as (select name, building from projections where name = $1 for update)
         update projections p set building = null
           from before
          where p.name = before.name
         returning before.building",
    )
    .bind(name)
    .fetch_optional(executor)
    .await?;
    Ok(cancelled.flatten())
}

/// Makes the generation that was built the live one; the live one becomes the previous.
/// Returns the generation that is obsolete now, to be dropped once readers have moved on.
/// Clears the failure: what was built anew works.
pub async fn switch(
    executor: impl PgExecutor<'_>,
    name: &str,
    generation: i32,
    shape: &str,
) -> Result<Option<i32>, Error> {
    let obsolete: Option<Option<i32>> = sqlx::query_scalar(
        "with before as (select * from projections where name = $1 and building = $2 for update)
         update projections p
            set live = before.building, live_shape = $3,
                previous = before.live, previous_shape = before.live_shape,
                building = null, failure = null
           from before
          where p.name = before.name
         returning before.previous",
    )
    .bind(name)
    .bind(generation)
    .bind(shape)
    .fetch_optional(executor)
    .await?;
    obsolete.ok_or_else(|| Error::NotBuilding {
        name: name.to_owned(),
        generation,
    })
}

/// Goes back: swaps the live and the previous generation and returns the one now live.
/// Refused where the previous one has another shape than this program.
pub async fn rollback(
    connection: &mut sqlx::PgConnection,
    name: &str,
    shape: &str,
) -> Result<i32, Error> {
    let live: Option<i32> = sqlx::query_scalar(
        "update projections
            set live = previous, live_shape = previous_shape,
                previous = live, previous_shape = live_shape, failure = null
          where name = $1 and previous is not null and previous_shape = $2
         returning live",
    )
    .bind(name)
    .bind(shape)
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(live) = live {
        return Ok(live);
    }
    let name = name.to_owned();
    let Some(row) = read(connection, &name).await? else {
        return Err(Error::Unknown { name });
    };
    match (row.previous, row.previous_shape) {
        (Some(previous), found) => Err(Error::OtherShape {
            name,
            previous,
            found: found.unwrap_or_default(),
            shape: shape.to_owned(),
        }),
        (None, _) => Err(Error::NoPrevious { name }),
    }
}

/// Stops or resumes a read model's writer.
pub async fn set_paused(
    executor: impl PgExecutor<'_>,
    name: &str,
    paused: bool,
) -> Result<(), Error> {
    let updated = sqlx::query("update projections set paused = $2 where name = $1")
        .bind(name)
        .bind(paused)
        .execute(executor)
        .await?;
    if updated.rows_affected() == 0 {
        return Err(Error::Unknown {
            name: name.to_owned(),
        });
    }
    Ok(())
}

/// Records why a read model stopped, in one line that says what to run; `None` clears it.
pub async fn set_failure(
    executor: impl PgExecutor<'_>,
    name: &str,
    failure: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update projections set failure = $2 where name = $1 and failure is distinct from $2",
    )
    .bind(name)
    .bind(failure)
    .execute(executor)
    .await?;
    Ok(())
}

/// The Postgres schema that holds a generation's tables: `products_3`. Both parts are ours (a
/// constant and a number), never a client's text, so the name may stand in SQL as it is.
pub fn schema_name(model: &str, generation: i32) -> String {
    format!("{model}_{generation}")
}

/// Whether a generation's table is there: somebody may have dropped it by hand.
pub async fn has_table(
    executor: impl PgExecutor<'_>,
    model: &str,
    generation: i32,
    table: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(format!("{}.{table}", schema_name(model, generation)))
        .fetch_one(executor)
        .await
}

/// Drops a generation's schema with all that is in it; does nothing if there is none.
pub(crate) async fn drop_schema(
    executor: impl PgExecutor<'_>,
    model: &str,
    generation: i32,
) -> sqlx::Result<()> {
    let schema = schema_name(model, generation);
    sqlx::query(&format!("drop schema if exists {schema} cascade"))
        .execute(executor)
        .await?;
    Ok(())
}
