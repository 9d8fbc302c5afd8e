//! From the rows of `append` to answers.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::{Answer, Batch, Draft};
use super::lane::Lane;
use super::request::{Reply, Request};
use crate::command::Executed;
use crate::state::{SNAPSHOT_EVERY, Versioned, keep_snapshot};

/// What a batch came to.
pub(super) struct Settled {
    /// Newest position before the batch.
    head: i64,
    /// Newest position after it: what an answer without events rests on is at or below it, also where that is
    /// an event of this very batch.
    newest: i64,
    /// Positions of the batch's events, by index; none for those left out.
    positions: Vec<Option<i64>>,
    /// Groups left out.
    left_out: HashSet<i32>,
    /// Streams, by slot, whose version is not what the batch took it for.
    moved: Vec<usize>,
    /// First outcomes of the commands that had one before, by id.
    known: HashMap<Uuid, Known>,
    /// Whether `known` may be the doing of this very batch, sent before.
    resent: bool,
}

/// The first outcome of a command.
struct Known {
    fingerprint: Option<Vec<u8>>,
    reply: KnownReply,
}

enum KnownReply {
    Events(Executed),
    Answer(Answer, i64),
}

impl Lane {
    /// Reads what the rows mean. Looks into the log where commands are known, or where the batch was sent
    /// more than once and may have been left out because it is in already.
    pub(super) async fn settle(
        &mut self,
        batch: &Batch,
        rows: &[(String, Option<i64>, Option<i64>)],
        resent: bool,
    ) -> sqlx::Result<Settled> {
        let mut settled = Settled {
            head: 0,
            newest: 0,
            positions: vec![None; batch.events.id.len()],
            left_out: HashSet::new(),
            moved: Vec::new(),
            known: HashMap::new(),
            resent,
        };
        let mut known = Vec::new();
        for (what, index, number) in rows {
            let index = index.and_then(|index| usize::try_from(index - 1).ok());
            match (what.as_str(), index) {
                ("head", _) => settled.head = number.unwrap_or_default(),
                ("known", Some(command)) => {
                    let (id, group) = batch.command(command);
                    settled.left_out.insert(group);
                    known.push(id);
                }
                ("moved", Some(slot)) => {
                    settled.left_out.insert(batch.groups[slot]);
                    settled.moved.push(slot);
                }
                _ => return Err(sqlx::Error::Protocol(format!("append returned {what}"))),
            }
        }
        let mut next = settled.head;
        for event in 0..batch.events.id.len() {
            if !settled.left_out.contains(&batch.group_of_event(event)) {
                next += 1;
                settled.positions[event] = Some(next);
            }
        }
        settled.newest = next;
        let _ = self.head.send_if_modified(|head| {
            let newer = next > *head;
            *head = (*head).max(next);
            newer
        });
        if settled.left_out.is_empty() {
            return Ok(settled);
        }
        let mut connection = self.connection().await?;
        if !known.is_empty() {
            settled.known = read_known(&mut connection, &known).await?;
        }
        if resent {
            find_own_events(&mut connection, batch, &mut settled).await?;
        }
        self.connection = Some(connection);
        Ok(settled)
    }

    /// Publishes the states of what was committed and answers; hands back what is to be decided again.
    pub(super) fn conclude(&mut self, batch: Batch, settled: &Settled) -> Vec<Request> {
        if !settled.moved.is_empty() {
            metrics::counter!("nakku_append_conflicts_total").increment(1);
        }
        for (slot, group) in batch.slots.iter().zip(&batch.groups) {
            if settled.left_out.contains(group) && !keeps_uncommitted_states() {
                // Own or not: whatever the batch took it for has not been confirmed.
                self.cache.forget(&slot.key);
            } else {
                self.keep_snapshot(slot.before, &slot.now, slot);
                self.cache
                    .put(slot.key.clone(), slot.now.clone(), slot.to_snapshot);
            }
        }
        count_events(&batch, settled);
        let moved: HashSet<i32> = settled.moved.iter().map(|s| batch.groups[*s]).collect();
        let groups: Vec<i32> = batch.drafts.iter().map(|d| batch.group(d)).collect();
        let mut again = Vec::new();
        for (draft, group) in batch.drafts.into_iter().zip(groups) {
            if let Some(request) = settled.conclude(draft, group, moved.contains(&group)) {
                again.push(request);
            }
        }
        again
    }

    fn keep_snapshot(&self, before: i64, now: &Versioned, slot: &super::batch::Slot) {
        let Some(shape) = self.cache.shape(slot.key.aggregate_type) else {
            return;
        };
        if before / SNAPSHOT_EVERY == now.version / SNAPSHOT_EVERY {
            return;
        }
        keep_snapshot(&self.pool, &slot.key, shape, now, slot.to_snapshot);
    }
}

/// A bug that the fault tests plant, to see that they would catch it.
fn keeps_uncommitted_states() -> bool {
    fail::fail_point!("planted-uncommitted-states", |_| true);
    false
}

fn count_events(batch: &Batch, settled: &Settled) {
    let mut counts: HashMap<&'static str, u64> = HashMap::new();
    for (aggregate_type, position) in batch.events.aggregate_type.iter().zip(&settled.positions) {
        if position.is_some() {
            *counts.entry(aggregate_type).or_default() += 1;
        }
    }
    for (aggregate, count) in counts {
        metrics::counter!("nakku_events_appended_total", "aggregate" => aggregate).increment(count);
    }
}

impl Settled {
    /// Answers one command, or hands it back to be decided again.
    fn conclude(&self, mut draft: Draft, group: i32, moved: bool) -> Option<Request> {
        let known = draft
            .request
            .context
            .command
            .as_ref()
            .and_then(|command| self.known.get(&command.id).map(|known| (command, known)));
        let own = draft.events > 0 && self.positions[draft.first_event].is_some();
        if self.left_out.contains(&group) && !own {
            // An answer to this command is known: it wins over whatever was decided now.
            if let Some((command, known)) = known {
                let reply = known.tell(&command.fingerprint, self.resent);
                draft.request.reply(reply);
                return None;
            }
            draft.request.conflicts += u32::from(moved);
            return Some(draft.request);
        }
        let reply = match draft.answer {
            None => Reply::Done(Executed {
                stream_id: draft.request.streams[0].key.aggregate_id.to_string(),
                version: draft.version,
                position: self.positions[draft.first_event + draft.events - 1]
                    .expect("a group is whole or absent"),
                events: draft.events,
                replayed: false,
            }),
            Some(answer) => answer.tell(self.newest, false),
        };
        draft.request.reply(reply);
        None
    }
}

impl Answer {
    fn tell(&self, position: i64, replayed: bool) -> Reply {
        match self.clone() {
            Self::NoOp { stream_id, version } => Reply::Done(Executed {
                stream_id,
                version,
                position,
                events: 0,
                replayed,
            }),
            Self::Refused { error } => Reply::Refused { error, replayed },
            Self::VersionMismatch { expected, actual } => Reply::VersionMismatch {
                expected,
                actual,
                replayed,
            },
        }
    }
}

impl Known {
    fn tell(&self, fingerprint: &[u8], own: bool) -> Reply {
        if self.fingerprint.as_deref() != Some(fingerprint) {
            return Reply::KeyReused;
        }
        match &self.reply {
            KnownReply::Events(executed) => Reply::Done(Executed {
                replayed: !own,
                ..executed.clone()
            }),
            KnownReply::Answer(answer, position) => answer.tell(*position, !own),
        }
    }
}

/// First outcomes by command id: rendered from the events, or as stored where there were none.
async fn read_known(
    connection: &mut PgConnection,
    commands: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, Known>> {
    type EventRow = (Uuid, Option<Vec<u8>>, String, i64, i64, i32);
    let events: Vec<EventRow> = sqlx::query_as(
        "select first.command_id, first.fingerprint, first.aggregate_id, own.version,
                first.position + first.command_events - 1, first.command_events
         from events first
         cross join lateral (
           select max(e.sequence) as version from events e
           where e.position between first.position and first.position + first.command_events - 1
             and e.aggregate_type = first.aggregate_type and e.aggregate_id = first.aggregate_id
         ) own
         where first.command_id = any($1)",
    )
    .bind(commands)
    .fetch_all(&mut *connection)
    .await?;
    type OutcomeRow = (Uuid, Option<Vec<u8>>, sqlx::types::Json<Answer>, i64);
    let outcomes: Vec<OutcomeRow> = sqlx::query_as(
        "select command_id, fingerprint, answer, position from outcomes where command_id = any($1)",
    )
    .bind(commands)
    .fetch_all(connection)
    .await?;

    let events =
        events
            .into_iter()
            .map(|(id, fingerprint, stream_id, version, position, events)| {
                let executed = Executed {
                    stream_id,
                    version,
                    position,
                    events: usize::try_from(events).unwrap_or_default(),
                    replayed: true,
                };
                let reply = KnownReply::Events(executed);
                (id, Known { fingerprint, reply })
            });
    let outcomes = outcomes
        .into_iter()
        .map(|(id, fingerprint, answer, position)| {
            let reply = KnownReply::Answer(answer.0, position);
            (id, Known { fingerprint, reply })
        });
    Ok(events.chain(outcomes).collect())
}

/// Finds the groups that were left out because an earlier sending of this batch is in: the event at
/// (stream, version) carries the id drawn for it. A group is whole or absent, so its events are all there.
async fn find_own_events(
    connection: &mut PgConnection,
    batch: &Batch,
    settled: &mut Settled,
) -> sqlx::Result<()> {
    let wanted: Vec<usize> = (0..batch.events.id.len())
        .filter(|event| settled.left_out.contains(&batch.group_of_event(*event)))
        .collect();
    let types: Vec<&str> = wanted
        .iter()
        .map(|e| batch.events.aggregate_type[*e])
        .collect();
    let ids: Vec<&str> = wanted
        .iter()
        .map(|e| &*batch.events.aggregate_id[*e])
        .collect();
    let sequences: Vec<i64> = wanted.iter().map(|e| batch.events.sequence[*e]).collect();
    let found: Vec<(i64, i64, Uuid)> = sqlx::query_as(
        "select u.o, e.position, e.event_id
         from unnest($1::text[], $2::text[], $3::bigint[]) with ordinality u(type, id, sequence, o)
         join events e on e.aggregate_type = u.type and e.aggregate_id = u.id and e.sequence = u.sequence",
    )
    .bind(types)
    .bind(ids)
    .bind(sequences)
    .fetch_all(connection)
    .await?;
    for (ordinal, position, event_id) in found {
        let event = wanted[usize::try_from(ordinal - 1).expect("ordinality is from 1")];
        if batch.events.id[event] == event_id {
            settled.positions[event] = Some(position);
        }
    }
    Ok(())
}
