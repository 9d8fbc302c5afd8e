//! `nakku events`.

use std::time::Duration;

use admin_api::events::{self, Event, Filter, Window};
use chrono::SecondsFormat;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::with_database;
use crate::cli::{self, Output};
use crate::config::Config;
use crate::output;

/// Positions looked through at once; a statement over them takes some 10 ms.
const WINDOW: i64 = 5_000;
/// How often the log is looked at for new events.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(config: &Config, arguments: cli::Events) -> anyhow::Result<()> {
    with_database(config, async |database, shutdown| {
        let reading = read(database.pool(), &arguments, &shutdown);
        shutdown
            .run_until_cancelled(reading)
            .await
            .unwrap_or(Ok(()))
    })
    .await
}

/// Prints by windows of positions: a long log needs no memory, and what follows is seen at once.
async fn read(
    pool: &PgPool,
    arguments: &cli::Events,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let stream = arguments.stream.as_ref();
    let filter = Filter {
        stream: stream.map(|stream| (stream.stream_type.as_str(), stream.id.as_str())),
        event_type: arguments.event_type.as_deref(),
        correlation_id: arguments.correlation.as_deref(),
    };
    let mut after = (arguments.from - 1).max(0);
    while !shutdown.is_cancelled() {
        let head = head(pool).await?;
        while after < head {
            let until = head.min(after + WINDOW);
            let window = Window { after, until };
            for event in events::find(pool, filter, window, WINDOW).await? {
                match arguments.output {
                    Output::Json => output::json(&event)?,
                    Output::Table => output::line(&line(&event))?,
                }
            }
            after = until;
        }
        if !arguments.follow {
            break;
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
    Ok(())
}

async fn head(pool: &PgPool) -> sqlx::Result<i64> {
    let newest: Option<i64> =
        sqlx::query_scalar("select position from events order by position desc limit 1")
            .fetch_optional(pool)
            .await?;
    Ok(newest.unwrap_or(0))
}

/// Position, time, type, stream and version, payload: what a person looks for, in this order.
pub(super) fn line(event: &Event) -> String {
    format!(
        "{:>9}  {}  {:<22}  {}/{}@{}  {}",
        event.position,
        event
            .recorded_at
            .to_rfc3339_opts(SecondsFormat::Millis, true),
        event.event_type,
        event.stream_type,
        event.stream_id,
        event.version,
        event.payload.get()
    )
}
