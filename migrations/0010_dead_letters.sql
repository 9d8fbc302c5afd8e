create table dead_letters (
  id          uuid primary key,
  consumer    text collate "C" not null,
  log         text collate "C" not null default 'main',
  stream_type text collate "C" not null,
  stream_id   text collate "C" not null,
  position    bigint not null,
  event_type  text collate "C" not null,
  state       text not null default 'parked' check (state in ('parked', 'retry', 'discarded')),
  error       text,
  attempts    int not null default 0,
  parked_at   timestamptz not null default now(),
  decided_by  text,
  reason      text,
  decided_at  timestamptz,
  unique (consumer, log, position)
);
create index dead_letters_stream on dead_letters (consumer, stream_type, stream_id, position);

comment on table dead_letters is 'Events that a consumer could not handle, and those of the same stream that wait behind them, in order. Written before the consumer''s checkpoint passes them.';
comment on column dead_letters.state is 'parked: waits; retry: an operator asked for another try; discarded: skipped for good, by replays too.';
comment on column dead_letters.error is 'Why the first event of the stream failed; null on those that only wait behind it.';
