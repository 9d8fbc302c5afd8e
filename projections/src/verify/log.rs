//! The invariants of the log. Read in windows by position, each a statement of its own: a long snapshot would
//! hold up the clean-up of everything else.

use sqlx::PgPool;

use super::{Finding, Report};

/// Positions looked at by one statement.
const WINDOW: i64 = 20_000;

/// Places that are listed of each invariant; a log with more is not read to its end for their sake.
const PLACES_MAX: usize = 100;

/// Nothing but a copy of it stands for the log: everything else is made from it.
const MEND: &str =
    "restore the database from a backup of before it was changed, then replay what verify names";

/// What must hold for every position.
struct Invariant {
    /// What is wrong where it does not hold.
    broken: &'static str,
    /// Yields a line for each position after $1 and up to $2 where it does not hold, at most $3.
    places: &'static str,
}

const INVARIANTS: [Invariant; 3] = [
    Invariant {
        broken: "the log has holes",
        places: "select 'no event at position ' || p from generate_series($1 + 1, $2) p
                 where not exists (select from events e where e.position = p) order by p limit $3",
    },
    // The event before each, in its stream, is there, and before it in the log.
    Invariant {
        broken: "the log has streams whose versions are not contiguous",
        places: "select e.aggregate_type || '/' || e.aggregate_id || ' has version ' || e.sequence
                        || ' at position ' || e.position || ' without the version before it'
                 from events e
                 where e.position > $1 and e.position <= $2 and e.sequence > 1
                   and not exists (
                     select from events b
                     where b.aggregate_type = e.aggregate_type and b.aggregate_id = e.aggregate_id
                       and b.sequence = e.sequence - 1 and b.position < e.position)
                 order by e.position limit $3",
    },
    // A payload names its own type.
    Invariant {
        broken: "the log has payloads of another type than their event",
        places: "select 'position ' || position || ' is a ' || event_type || ', its payload a '
                        || coalesce(payload ->> 'type', 'thing without a type')
                 from events
                 where position > $1 and position <= $2 and payload ->> 'type' is distinct from event_type
                 order by position limit $3",
    },
];

pub(super) async fn check(pool: &PgPool, report: &mut Report) -> sqlx::Result<()> {
    let head: i64 = sqlx::query_scalar("select coalesce(max(position), 0) from events")
        .fetch_one(pool)
        .await?;
    let limit = i64::try_from(PLACES_MAX).unwrap_or(i64::MAX);
    let mut places = [const { Vec::<String>::new() }; INVARIANTS.len()];
    let mut after = 0;
    while after < head && places.iter().all(|places| places.len() < PLACES_MAX) {
        let upto = head.min(after + WINDOW);
        for (invariant, places) in INVARIANTS.iter().zip(&mut places) {
            let found = sqlx::query_scalar(invariant.places);
            let found = found.bind(after).bind(upto).bind(limit);
            places.extend(found.fetch_all(pool).await?);
        }
        after = upto;
    }
    for (invariant, mut places) in INVARIANTS.iter().zip(places) {
        if places.is_empty() {
            continue;
        }
        places.truncate(PLACES_MAX);
        report.findings.push(Finding {
            problem: invariant.broken.to_owned(),
            places,
            mend: MEND.to_owned(),
        });
    }
    if after < head {
        report
            .skipped
            .push(format!("the log after position {after}: enough was found"));
    }
    report.checked.push(format!("the log: {after} positions"));
    Ok(())
}
