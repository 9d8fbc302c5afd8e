create table outcomes (
  command_id  uuid primary key,
  fingerprint bytea,
  answer      json not null,
  position    bigint not null,
  expires_at  timestamptz
);
create index outcomes_expires_at on outcomes (expires_at) where expires_at is not null;

comment on table outcomes is 'Commands with an id that ended without an event: refusals by a rule, and no-ops.';
comment on column outcomes.answer is 'What the command was told, to be told again.';
comment on column outcomes.position is 'Head of the log when the command was checked.';
comment on column outcomes.expires_at is 'Null for ids derived from events: those are kept for good.';
