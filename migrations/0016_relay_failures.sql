create table relay_failures (
  log      text collate "C" primary key default 'main',
  error    text not null,
  attempts bigint not null check (attempts >= 1),
  since    timestamptz not null default clock_timestamp(),
  last_at  timestamptz not null default clock_timestamp()
);
comment on table relay_failures is 'Why the relay does not publish: a row from the first failed attempt until its checkpoint moves again.';
comment on column relay_failures.error is 'What the last attempt failed with, on one line.';
comment on column relay_failures.attempts is 'Failed attempts in a row.';
comment on column relay_failures.since is 'When the first of them failed.';
comment on column relay_failures.last_at is 'When the last of them failed.';
