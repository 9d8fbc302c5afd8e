create table events (
  position       bigint primary key check (position >= 1),
  event_id       uuid not null,
  aggregate_type text collate "C" not null,
  aggregate_id   text collate "C" not null,
  sequence       bigint not null check (sequence >= 1),
  event_type     text collate "C" not null,
  event_version  text collate "C" not null,
  payload        json not null,
  metadata       json not null,
  command_id     uuid,
  command_events int check (command_events >= 1),
  fingerprint    bytea,
  recorded_at    timestamptz not null,
  unique (aggregate_type, aggregate_id, sequence)
);
create unique index events_command_id on events (command_id) where command_id is not null;

comment on table events is 'The log. Only append() writes here, and it only inserts. Positions are gapless and follow commit order.';
comment on column events.position is 'Place in the log, from 1, without a hole.';
comment on column events.sequence is 'Version of the stream (aggregate_type, aggregate_id) after this event, from 1, without a hole.';
comment on column events.event_version is 'Semantic version of the payload''s shape; older ones are upcast on reading.';
comment on column events.payload is 'The event; its member "type" repeats event_type. Personal fields are sealed.';
comment on column events.metadata is 'Flat object of strings: correlation_id, causation_id, user_id, traceparent.';
comment on column events.command_id is 'On the first event of a command that carried an id: the digest of scope and id.';
comment on column events.command_events is 'Beside command_id: how many events, at this position and after, the command appended.';
comment on column events.fingerprint is 'Beside command_id: keyed digest of what was asked, to tell a repeated command from a reused id.';
comment on column events.recorded_at is 'Taken under the append lock; never goes back along the positions.';
