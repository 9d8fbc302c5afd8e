//! The arguments of `append`, as arrays. `draft`, in each, is the command that a row belongs to, and so
//! gives its group.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::Batch;
use crate::command::{CommandId, TimerChange};
use crate::sealing::DataKey;
use crate::stream::{EncodedEvent, StreamKey};

/// The `e_` arrays.
#[derive(Default)]
pub(super) struct Events {
    pub(super) draft: Vec<usize>,
    pub(super) id: Vec<Uuid>,
    pub(super) aggregate_type: Vec<&'static str>,
    pub(super) aggregate_id: Vec<Arc<str>>,
    pub(super) sequence: Vec<i64>,
    event_type: Vec<String>,
    event_version: Vec<String>,
    payload: Vec<String>,
    metadata: Vec<Arc<str>>,
    command: Vec<Option<Uuid>>,
    command_events: Vec<Option<i32>>,
    fingerprint: Vec<Option<Vec<u8>>>,
}

/// The `c_` arrays.
#[derive(Default)]
pub(super) struct Commands {
    pub(super) draft: Vec<usize>,
    pub(super) id: Vec<Uuid>,
    fingerprint: Vec<Vec<u8>>,
    answer: Vec<Option<String>>,
    expires: Vec<Option<f64>>,
}

/// The `t_` arrays.
#[derive(Default)]
pub(super) struct Timers {
    pub(super) draft: Vec<usize>,
    name: Vec<String>,
    due: Vec<Option<DateTime<Utc>>>,
    payload: Vec<Option<String>>,
    by_name: HashMap<String, usize>,
}

/// The `k_` arrays.
#[derive(Default)]
pub(super) struct DataKeys {
    pub(super) draft: Vec<usize>,
    subject: Vec<String>,
    wrapped: Vec<Option<Vec<u8>>>,
}

impl Events {
    pub(super) fn push(
        &mut self,
        draft: usize,
        stream: &StreamKey,
        sequence: i64,
        event: EncodedEvent,
        metadata: &Arc<str>,
    ) {
        self.draft.push(draft);
        self.id.push(Uuid::now_v7());
        self.aggregate_type.push(stream.aggregate_type);
        self.aggregate_id.push(stream.aggregate_id.clone());
        self.sequence.push(sequence);
        self.event_type.push(event.event_type);
        self.event_version.push(event.event_version);
        self.payload.push(event.payload);
        self.metadata.push(metadata.clone());
        self.command.push(None);
        self.command_events.push(None);
        self.fingerprint.push(None);
    }

    /// The event at this index is the first of this many of a command with an id.
    pub(super) fn carry(&mut self, first: usize, events: usize, command: &CommandId) {
        self.command[first] = Some(command.id);
        self.command_events[first] = i32::try_from(events).ok();
        self.fingerprint[first] = Some(command.fingerprint.clone());
    }
}

impl Commands {
    pub(super) fn push(&mut self, draft: usize, command: &CommandId, answer: Option<String>) {
        self.draft.push(draft);
        self.id.push(command.id);
        self.fingerprint.push(command.fingerprint.clone());
        self.answer.push(answer);
        self.expires
            .push(command.expires_after.map(|after| after.as_secs_f64()));
    }
}

impl Timers {
    /// Of several changes of one timer in a batch the last one counts: a timer is a stream's, so they stand or fall together.
    pub(super) fn push(&mut self, draft: usize, change: TimerChange) {
        let (name, due, payload) = match change {
            TimerChange::Set(timer) => (
                timer.name,
                Some(timer.due_at),
                Some(timer.payload.to_string()),
            ),
            TimerChange::Clear { name } => (name, None, None),
        };
        if let Some(place) = self.by_name.get(&name) {
            self.draft[*place] = draft;
            self.due[*place] = due;
            self.payload[*place] = payload;
            return;
        }
        self.by_name.insert(name.clone(), self.name.len());
        self.draft.push(draft);
        self.name.push(name);
        self.due.push(due);
        self.payload.push(payload);
    }
}

impl DataKeys {
    pub(super) fn store(&mut self, draft: usize, key: &DataKey) {
        self.push(draft, key.subject.clone(), Some(key.wrapped.clone()));
    }

    pub(super) fn destroy(&mut self, draft: usize, subject: &str) {
        self.push(draft, subject.to_owned(), None);
    }

    fn push(&mut self, draft: usize, subject: String, wrapped: Option<Vec<u8>>) {
        self.draft.push(draft);
        self.subject.push(subject);
        self.wrapped.push(wrapped);
    }
}

impl Batch {
    /// Sends the batch: one statement, its own transaction unless one is open. May be sent again, the
    /// same bytes, when the outcome of the first time is unknown.
    pub(super) async fn send(
        &self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Vec<(String, Option<i64>, Option<i64>)>> {
        let group = |drafts: &[usize]| -> Vec<i32> {
            drafts
                .iter()
                .map(|draft| self.group(&self.drafts[*draft]))
                .collect()
        };
        let types: Vec<&str> = self.slots.iter().map(|s| s.key.aggregate_type).collect();
        let ids: Vec<&str> = self.slots.iter().map(|s| &*s.key.aggregate_id).collect();
        let versions: Vec<i64> = self.slots.iter().map(|s| s.before).collect();
        sqlx::query_as(
            "select what, i, num from append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
             $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28)",
        )
        .bind(&self.groups)
        .bind(types)
        .bind(ids)
        .bind(versions)
        .bind(group(&self.commands.draft))
        .bind(&self.commands.id)
        .bind(&self.commands.fingerprint)
        .bind(&self.commands.answer)
        .bind(&self.commands.expires)
        .bind(group(&self.events.draft))
        .bind(&self.events.id)
        .bind(&self.events.aggregate_type)
        .bind(texts(&self.events.aggregate_id))
        .bind(&self.events.sequence)
        .bind(&self.events.event_type)
        .bind(&self.events.event_version)
        .bind(&self.events.payload)
        .bind(texts(&self.events.metadata))
        .bind(&self.events.command)
        .bind(&self.events.command_events)
        .bind(&self.events.fingerprint)
        .bind(group(&self.timers.draft))
        .bind(&self.timers.name)
        .bind(&self.timers.due)
        .bind(&self.timers.payload)
        .bind(group(&self.data_keys.draft))
        .bind(&self.data_keys.subject)
        .bind(&self.data_keys.wrapped)
        .fetch_all(connection)
        .await
    }
}

fn texts(shared: &[Arc<str>]) -> Vec<&str> {
    shared.iter().map(|text| &**text).collect()
}
