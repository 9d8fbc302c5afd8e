//! What is left of a run: the log, what the payment provider and the customers say, and what is still outstanding.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::{PgPool, Row};
use testing::Performed;

use super::site::Site;

/// All that the run is judged by.
#[derive(Clone)]
pub(super) struct Evidence {
    pub(super) log: Vec<Event>,
    /// The payment provider's own record.
    pub(super) record: Vec<Performed>,
    pub(super) asked: Vec<Asked>,
    /// Names of timers that wait.
    pub(super) timers: Vec<String>,
    /// Who has parked what: consumer and stream.
    pub(super) parked: Vec<(String, String)>,
}

/// A row of the log.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) position: i64,
    pub(super) stream_type: String,
    pub(super) stream_id: String,
    pub(super) name: String,
    pub(super) payload: Value,
    /// The event that it is a consequence of.
    pub(super) cause: Option<String>,
}

/// What a customer asked for, and was answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) kind: &'static str,
    /// Whether the order can be completed at all.
    pub(super) may_complete: bool,
    /// The ids under which the order was answered: one.
    pub(super) answers: BTreeSet<String>,
}

impl Evidence {
    pub(super) async fn of(site: &Site, asked: Vec<Asked>) -> Self {
        Self {
            log: log(site.pool()).await,
            record: site.provider.record(),
            asked,
            timers: timers(site.pool()).await,
            parked: parked(site.pool()).await,
        }
    }

    /// The events of streams of a type, by stream, in order.
    pub(super) fn streams(&self, stream_type: &str) -> BTreeMap<&str, Vec<&Event>> {
        let mut streams: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in self
            .log
            .iter()
            .filter(|event| event.stream_type == stream_type)
        {
            streams.entry(&event.stream_id).or_default().push(event);
        }
        streams
    }
}

async fn log(pool: &PgPool) -> Vec<Event> {
    let rows = sqlx::query(
        "select position, aggregate_type, aggregate_id, event_type, payload, metadata ->> 'causation_id'
           from events order by position",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|row| Event {
            position: row.get(0),
            stream_type: row.get(1),
            stream_id: row.get(2),
            name: row.get(3),
            payload: row.get(4),
            cause: row.get(5),
        })
        .collect()
}

pub(super) async fn timers(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select name from timers order by name")
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn parked(pool: &PgPool) -> Vec<(String, String)> {
    sqlx::query_as(
        "select consumer, stream_type || '/' || stream_id from dead_letters order by 1, 2",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

impl Event {
    /// A member of the payload that is a text.
    pub(super) fn text(&self, member: &str) -> &str {
        self.payload[member]
            .as_str()
            .unwrap_or_else(|| panic!("{} has no {member}: {}", self.name, self.payload))
    }

    /// A member of the payload that is a number.
    pub(super) fn number(&self, member: &str) -> i64 {
        self.payload[member]
            .as_i64()
            .unwrap_or_else(|| panic!("{} has no {member}: {}", self.name, self.payload))
    }
}
