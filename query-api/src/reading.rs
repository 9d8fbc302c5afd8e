//! Read your writes: which generation answers, how far it has come, and its rows.

use std::borrow::Cow;
use std::time::Duration;

use http_server::position::MAIN_LOG;
use http_server::{Kind, MinPosition, Problem};
use read_models::{Behind, Live, Unavailable, positions};
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::QueryApi;

/// PostgreSQL's code for a table that is not there (`undefined_table`).
const UNDEFINED_TABLE: &str = "42P01";

/// Its code for a statement that took longer than it may (`query_canceled`).
const QUERY_CANCELED: &str = "57014";

/// What to tell a client whose read model is being built: soon, but not at once.
const RETRY_BUILDING: Duration = Duration::from_secs(1);

/// Headers that every query understands, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "read by `MinPosition`; here for its documentation"
)]
pub(crate) struct ReadYourWrites {
    /// `Nakku-Position` of a command whose effect the answer must show; several by comma. The
    /// query waits for its read model up to 2 s, then answers 503 `projection-behind`.
    #[param(rename = "Nakku-Min-Position", required = false, example = "4711")]
    min_position: String,
    /// `wait=N`: wait up to N seconds for that instead, at most 10.
    #[param(rename = "Prefer", required = false, example = "wait=5")]
    prefer: String,
}

impl QueryApi {
    /// The generation that answers, once it has come as far as the client wants.
    ///
    /// Position and generation come from one statement; the rows are read after it and may show
    /// more than the position says, never less. A generation that was live stays for as long as it
    /// can be gone back to, so it outlives the query that was told its name.
    pub(crate) async fn live(
        &self,
        model: &'static str,
        wanted: &MinPosition,
    ) -> Result<Live, Problem> {
        let deadline = Instant::from_std(wanted.deadline);
        let min_position = wanted.on(MAIN_LOG).unwrap_or(0);
        positions::await_position(&self.pool, model, min_position, deadline)
            .await
            .map_err(unavailable)
    }
}

/// A read model that cannot answer, as a problem.
pub(crate) fn unavailable(error: Unavailable) -> Problem {
    match error {
        Unavailable::Behind(Behind::Position {
            position, wanted, ..
        }) => Problem::projection_behind(wanted, position),
        Unavailable::Behind(building @ Behind::Building { .. }) => {
            Problem::from(Kind::PROJECTION_BEHIND)
                .detail(building.to_string())
                .retry_after(RETRY_BUILDING)
        }
        Unavailable::Database(error) => database(error),
    }
}

/// Whether a statement failed because its generation was dropped.
pub(crate) fn is_undefined_table(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(UNDEFINED_TABLE)
}

fn code(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error()?.code()
}

/// Rows that could not be read, as a problem.
pub(crate) fn database(error: sqlx::Error) -> Problem {
    match error {
        sqlx::Error::PoolTimedOut => Problem::overloaded(),
        error if code(&error).as_deref() == Some(QUERY_CANCELED) => {
            Problem::overloaded().detail("this takes too long: ask for less")
        }
        // Replayed twice while the query was under way.
        error if is_undefined_table(&error) => Problem::from(Kind::PROJECTION_BEHIND)
            .detail("the read model was replaced meanwhile")
            .retry_after(RETRY_BUILDING),
        error => Problem::internal(format!("database: {error}")),
    }
}
