//! Bugs that event stores on PostgreSQL have had, planted one at a time: what the product does about each of them is taken out
//! again, in the test's own database.

use sqlx::{Executor, PgPool};

use super::checks::Checker;

/// A bug, and who has to find it.
pub(super) struct Plant {
    pub(super) name: &'static str,
    /// One of these must find it. Others may, too.
    pub(super) caught_by: &'static [Checker],
    /// Run before `append` is replaced.
    besides: &'static [&'static str],
    /// What is put in the place of what in the text of `append`.
    replacing: &'static [(&'static str, &'static str)],
    /// How readers read; by feeds where nothing is said.
    pub(super) reader: Option<&'static str>,
    /// Run again and again beside the writers.
    pub(super) second_transaction: Option<&'static str>,
    pub(super) keeps_uncommitted_states: bool,
}

/// Nothing planted: the run that has to be clean.
const NONE: Plant = Plant {
    name: "none",
    caught_by: &[],
    besides: &[],
    replacing: &[],
    reader: None,
    second_transaction: None,
    keeps_uncommitted_states: false,
};

/// Positions from a sequence need no common lock; each stream has one, as versions would collide otherwise.
const LOCK: &str = "perform pg_advisory_xact_lock(7305801);";
const LOCK_OF_EACH_STREAM: &str =
    "perform pg_advisory_xact_lock(hashtextextended(t || '/' || id, 0))
  from (select distinct t, id from unnest(s_type, s_id) s(t, id) order by t, id) streams;";
const LOCK_OF_EACH_STREAM_AFTER_XID: &str = "perform pg_current_xact_id();
  perform pg_advisory_xact_lock(hashtextextended(t || '/' || id, 0))
  from (select distinct t, id from unnest(s_type, s_id) s(t, id) order by t, id) streams;";
const NEXT_POSITION: [(&str, &str); 2] = [
    ("head + o, id", "nextval('planted_positions'), id"),
    (
        "head + row_number() over (order by o), id",
        "nextval('planted_positions'), id",
    ),
];
const SEQUENCE: &str = "create sequence planted_positions";

/// Version equality.
const MOVED: &str = "where v <> coalesce((select e.sequence from events e where e.aggregate_type = s.t and e.aggregate_id = s.id
                         order by e.sequence desc limit 1), 0));";
/// What a unique constraint asks: whether the numbers are free that the new events want.
const NUMBER_TAKEN: &str = "where exists (
      select from unnest(e_aggregate_type, e_aggregate_id, e_sequence) n(t, id, number)
      join events e on e.aggregate_type = n.t and e.aggregate_id = n.id and e.sequence = n.number
      where n.t = s.t and n.id = s.id));";
const MOVED_WHERE_APPENDED: &str = "where s_group[o] = any (e_group) and
    v <> coalesce((select e.sequence from events e where e.aggregate_type = s.t and e.aggregate_id = s.id
                   order by e.sequence desc limit 1), 0));";

const WITHOUT_COMMAND: [(&str, &str); 2] = [
    (
        "head + o, id, t, a, s, et, ev, p::json, m::json, c, n, f, at",
        "head + o, id, t, a, s, et, ev, p::json, m::json, null, null, null, at",
    ),
    (
        "(order by o), id, t, a, s, et, ev, p::json, m::json, c, n, f, at",
        "(order by o), id, t, a, s, et, ev, p::json, m::json, null, null, null, at",
    ),
];

/// The planted bugs.
pub(super) const PLANTS: &[Plant] = &[
    NONE,
    Plant {
        name: "positions from a sequence, read by `position > last`",
        caught_by: &[Checker::Readers],
        besides: &[SEQUENCE],
        replacing: &[
            (LOCK, LOCK_OF_EACH_STREAM),
            NEXT_POSITION[0],
            NEXT_POSITION[1],
        ],
        reader: Some("select position, event_id from events where position > $1 order by position"),
        ..NONE
    },
    Plant {
        name: "`xid < pg_snapshot_xmin` as the gate of a position checkpoint",
        caught_by: &[Checker::Readers],
        besides: &[
            SEQUENCE,
            "alter table events add column planted_xid xid8 not null default pg_current_xact_id()",
        ],
        replacing: &[
            (LOCK, LOCK_OF_EACH_STREAM_AFTER_XID),
            NEXT_POSITION[0],
            NEXT_POSITION[1],
        ],
        reader: Some(
            "select position, event_id from events
             where position > $1 and planted_xid < pg_snapshot_xmin(pg_current_snapshot()) order by position",
        ),
        ..NONE
    },
    Plant {
        name: "\"is this number free\" in place of version equality",
        caught_by: &[Checker::Accepted, Checker::Refusals],
        replacing: &[(MOVED, NUMBER_TAKEN)],
        ..NONE
    },
    Plant {
        name: "the same, and states ahead of the log",
        caught_by: &[Checker::Versions],
        replacing: &[(MOVED, NUMBER_TAKEN)],
        keeps_uncommitted_states: true,
        ..NONE
    },
    Plant {
        name: "a refusal from the cache, not confirmed",
        caught_by: &[Checker::Refusals],
        replacing: &[(MOVED, MOVED_WHERE_APPENDED)],
        ..NONE
    },
    Plant {
        name: "the command id in a second transaction",
        caught_by: &[Checker::Once],
        besides: &["create table planted_ids (event_id uuid, command_id uuid, command_events int, fingerprint bytea)"],
        replacing: &[
            WITHOUT_COMMAND[0],
            WITHOUT_COMMAND[1],
            (
                "if cardinality(t_name) > 0 then",
                "insert into planted_ids select x.id, x.c, x.n, x.f
  from unnest(e_group, e_id, e_command, e_command_events, e_fingerprint) x(g, id, c, n, f)
  where x.c is not null and not x.g = any (dropped);
  if cardinality(t_name) > 0 then",
            ),
        ],
        second_transaction: Some(
            "with taken as (delete from planted_ids returning *), first as (select distinct on (command_id) * from taken)
             update events e set command_id = t.command_id, command_events = t.command_events, fingerprint = t.fingerprint
             from first t where e.event_id = t.event_id
               and not exists (select from events k where k.command_id = t.command_id)",
        ),
        ..NONE
    },
    Plant {
        name: "a batch decided on states that never committed",
        caught_by: &[Checker::Accepted, Checker::Refusals],
        keeps_uncommitted_states: true,
        ..NONE
    },
];

impl Plant {
    /// Whether there is no bug at all.
    pub(super) fn is_none(&self) -> bool {
        self.replacing.is_empty() && !self.keeps_uncommitted_states
    }

    /// Puts the bug into this database.
    pub(super) async fn put_into(&self, pool: &PgPool) {
        for statement in self.besides {
            pool.execute(*statement).await.unwrap();
        }
        if !self.replacing.is_empty() {
            pool.execute(self.append().as_str()).await.unwrap();
        }
    }

    /// The product's newest `append` with the bug in it.
    fn append(&self) -> String {
        let begin = "function append(";
        let mut migrations = eventstore::MIGRATIONS.iter().rev();
        let newest = migrations.find(|migration| migration.sql.contains(begin));
        let mut text = newest.expect("a migration makes append").sql.to_string();
        for (sound, planted) in self.replacing {
            assert_eq!(
                text.matches(*sound).count(),
                1,
                "append has no `{sound}` any more"
            );
            text = text.replace(*sound, planted);
        }
        match text.contains("create or replace function append(") {
            true => text,
            false => text.replace(
                "create function append(",
                "create or replace function append(",
            ),
        }
    }
}
