//! `nakku dead-letters`.

use admin_api::events::{self, Event};
use anyhow::{Context, bail};
use eventstore::dead_letters::{self, DeadLetter, Waiting};
use serde::Serialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::requests::{Requests, who};
use super::{Ended, with_database};
use crate::cli::{self, DeadLettersAction, Output};
use crate::config::Config;
use crate::output::{self, Listed, or_dash};

/// Read from the database at once.
const PAGE: i64 = 200;

impl Listed for DeadLetter {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("id", false),
        ("consumer", false),
        ("stream", false),
        ("position", true),
        ("type", false),
        ("state", false),
        ("attempts", true),
        ("blocked", true),
        ("error", false),
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.consumer.clone(),
            format!("{}/{}", self.stream_type, self.stream_id),
            self.position.to_string(),
            self.event_type.clone(),
            self.state.clone(),
            self.attempts.to_string(),
            self.blocked.to_string(),
            or_dash(self.error.as_deref()),
        ]
    }
}

impl Listed for Waiting {
    const COLUMNS: &'static [(&'static str, bool)] =
        &[("id", false), ("position", true), ("type", false)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.position.to_string(),
            self.event_type.clone(),
        ]
    }
}

/// What was decided about a dead letter, for people.
#[derive(Serialize)]
#[serde(transparent)]
struct Discarded(DeadLetter);

impl Listed for Discarded {
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("id", false),
        ("consumer", false),
        ("stream", false),
        ("position", true),
        ("type", false),
        ("discarded by", false),
        ("reason", false),
    ];

    fn cells(&self) -> Vec<String> {
        let Discarded(letter) = self;
        vec![
            letter.id.to_string(),
            letter.consumer.clone(),
            format!("{}/{}", letter.stream_type, letter.stream_id),
            letter.position.to_string(),
            letter.event_type.clone(),
            or_dash(letter.decided_by.as_deref()),
            or_dash(letter.reason.as_deref()),
        ]
    }
}

/// A dead letter with its event and what waits behind it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    letter: DeadLetter,
    /// None where the log has none at its position any more.
    event: Option<Event>,
    waiting: Vec<Waiting>,
}

pub(super) async fn run(config: &Config, arguments: cli::DeadLetters) -> anyhow::Result<Ended> {
    let format = arguments.output;
    with_database(config, async |database, shutdown| {
        let pool = database.pool();
        match arguments
            .action
            .unwrap_or(DeadLettersAction::List { discarded: false })
        {
            DeadLettersAction::List { discarded: false } => list(pool, format).await,
            DeadLettersAction::List { discarded: true } => list_discarded(pool, format).await,
            DeadLettersAction::Show { id } => show(pool, id, format).await,
            DeadLettersAction::Retry { id } => {
                let letter = letter(pool, id).await?;
                dead_letters::request_retry(pool, id, &who()).await?;
                settle(config, pool, shutdown, &letter).await
            }
            DeadLettersAction::Discard { id, reason } => {
                let letter = letter(pool, id).await?;
                dead_letters::discard(pool, id, &who(), &reason).await?;
                settle(config, pool, shutdown, &letter).await
            }
        }
    })
    .await
}

async fn list(pool: &PgPool, format: Output) -> anyhow::Result<Ended> {
    let letters = all(async |after| dead_letters::list(pool, None, after, PAGE).await).await?;
    output::list(format, &letters)?;
    Ok(Ended::Well)
}

async fn list_discarded(pool: &PgPool, format: Output) -> anyhow::Result<Ended> {
    let letters = all(async |after| dead_letters::discarded(pool, None, after, PAGE).await).await?;
    let letters: Vec<Discarded> = letters.into_iter().map(Discarded).collect();
    output::list(format, &letters)?;
    Ok(Ended::Well)
}

/// All pages, each after the last one of the page before.
async fn all(
    page: impl AsyncFn(Option<Uuid>) -> sqlx::Result<Vec<DeadLetter>>,
) -> sqlx::Result<Vec<DeadLetter>> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    loop {
        let next = page(letters.last().map(|letter| letter.id)).await?;
        if next.is_empty() {
            return Ok(letters);
        }
        letters.extend(next);
    }
}

async fn show(pool: &PgPool, id: Uuid, format: Output) -> anyhow::Result<Ended> {
    let Some((letter, waiting)) = dead_letters::show(pool, id).await? else {
        bail!("there is no dead letter {id}");
    };
    let event = events::at(pool, letter.position).await?;
    match format {
        Output::Json => output::json(&Shown {
            letter,
            event,
            waiting,
        })?,
        Output::Table => {
            output::list(format, std::slice::from_ref(&letter))?;
            if let Some(event) = event {
                output::line(&format!("\nevent: {}", event.payload.get()))?;
            }
            if let (Some(reason), Some(by)) = (&letter.reason, &letter.decided_by) {
                output::line(&format!("\ndiscarded by {by}: {reason}"))?;
            }
            if !waiting.is_empty() {
                output::line("\nwaiting behind it:")?;
                output::list(format, &waiting)?;
            }
        }
    }
    Ok(Ended::Well)
}

async fn letter(pool: &PgPool, id: Uuid) -> anyhow::Result<DeadLetter> {
    let (letter, _) = dead_letters::show(pool, id)
        .await?
        .with_context(|| format!("there is no dead letter {id}"))?;
    Ok(letter)
}

/// Waits until the stream has been tried again, and says what is left of it.
async fn settle(
    config: &Config,
    pool: &PgPool,
    shutdown: CancellationToken,
    letter: &DeadLetter,
) -> anyhow::Result<Ended> {
    let requests = Requests::new(config, pool, shutdown);
    let carried_out = requests
        .carry_out(&letter.consumer, async || {
            Ok(!is_to_be_tried(pool, letter).await?)
        })
        .await;
    requests.close().await;
    carried_out?;
    let stream = format!("{}/{}", letter.stream_type, letter.stream_id);
    match parked(pool, letter).await? {
        None => {
            output::line(&format!("{stream} is up to date in {}", letter.consumer))?;
            Ok(Ended::Well)
        }
        Some((position, error)) => {
            let error = or_dash(error.as_deref());
            output::line(&format!(
                "{stream} is parked at position {position}: {error}"
            ))?;
            Ok(Ended::Badly)
        }
    }
}

async fn is_to_be_tried(pool: &PgPool, letter: &DeadLetter) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from dead_letters
                        where consumer = $1 and stream_type = $2 and stream_id = $3 and state = 'retry')",
    )
    .bind(&letter.consumer)
    .bind(&letter.stream_type)
    .bind(&letter.stream_id)
    .fetch_one(pool)
    .await
}

/// The first event of the stream that still waits, and why.
async fn parked(pool: &PgPool, letter: &DeadLetter) -> sqlx::Result<Option<(i64, Option<String>)>> {
    sqlx::query_as(
        "select position, error from dead_letters
         where consumer = $1 and stream_type = $2 and stream_id = $3 and state <> 'discarded'
         order by position limit 1",
    )
    .bind(&letter.consumer)
    .bind(&letter.stream_type)
    .bind(&letter.stream_id)
    .fetch_optional(pool)
    .await
}
