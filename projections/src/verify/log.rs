//! The invariants of the log. Read in windows by position, each a statement of its own: a long snapshot would
//! hold up the clean-up of everything else.

use sqlx::PgPool;

use super::Report;

/// Positions looked at by one statement.
const WINDOW: i64 = 20_000;

/// Findings that are listed; a log with more is not read to its end for their sake.
const FINDINGS_MAX: usize = 100;

pub(super) async fn check(pool: &PgPool, report: &mut Report) -> sqlx::Result<()> {
    let head: i64 = sqlx::query_scalar("select coalesce(max(position), 0) from events")
        .fetch_one(pool)
        .await?;
    let mut after = 0;
    while after < head {
        let upto = head.min(after + WINDOW);
        holes(pool, after, upto, report).await?;
        versions(pool, after, upto, report).await?;
        types(pool, after, upto, report).await?;
        after = upto;
        if report.findings.len() >= FINDINGS_MAX {
            report.findings.truncate(FINDINGS_MAX);
            report
                .skipped
                .push(format!("the log after position {after}: enough was found"));
            break;
        }
    }
    report.checked.push(format!("the log: {after} positions"));
    Ok(())
}

async fn holes(pool: &PgPool, after: i64, upto: i64, report: &mut Report) -> sqlx::Result<()> {
    let found: i64 =
        sqlx::query_scalar("select count(*) from events where position > $1 and position <= $2")
            .bind(after)
            .bind(upto)
            .fetch_one(pool)
            .await?;
    if found == upto - after {
        return Ok(());
    }
    let missing: Vec<i64> = sqlx::query_scalar(
        "select p from generate_series($1 + 1, $2) p
         where not exists (select from events e where e.position = p) order by p limit $3",
    )
    .bind(after)
    .bind(upto)
    .bind(limit())
    .fetch_all(pool)
    .await?;
    let line = |position| format!("the log has no event at position {position}");
    report.findings.extend(missing.into_iter().map(line));
    Ok(())
}

/// The event before each, in its stream, is there, and before it in the log.
async fn versions(pool: &PgPool, after: i64, upto: i64, report: &mut Report) -> sqlx::Result<()> {
    let broken: Vec<(i64, String, String, i64)> = sqlx::query_as(
        "select e.position, e.aggregate_type, e.aggregate_id, e.sequence from events e
         where e.position > $1 and e.position <= $2 and e.sequence > 1
           and not exists (
             select from events b
             where b.aggregate_type = e.aggregate_type and b.aggregate_id = e.aggregate_id
               and b.sequence = e.sequence - 1 and b.position < e.position)
         order by e.position limit $3",
    )
    .bind(after)
    .bind(upto)
    .bind(limit())
    .fetch_all(pool)
    .await?;
    let line = |(position, stream_type, stream_id, version)| {
        format!(
            "{stream_type}/{stream_id} has version {version} at position {position} without the version before it"
        )
    };
    report.findings.extend(broken.into_iter().map(line));
    Ok(())
}

/// A payload names its own type.
async fn types(pool: &PgPool, after: i64, upto: i64, report: &mut Report) -> sqlx::Result<()> {
    let broken: Vec<(i64, String)> = sqlx::query_as(
        "select position, event_type from events
         where position > $1 and position <= $2 and payload ->> 'type' is distinct from event_type
         order by position limit $3",
    )
    .bind(after)
    .bind(upto)
    .bind(limit())
    .fetch_all(pool)
    .await?;
    let line = |(position, event_type)| {
        format!("the payload at position {position} does not say that it is a {event_type}")
    };
    report.findings.extend(broken.into_iter().map(line));
    Ok(())
}

fn limit() -> i64 {
    i64::try_from(FINDINGS_MAX).unwrap_or(i64::MAX)
}
