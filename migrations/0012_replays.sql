create table replays (
  id             uuid primary key,
  projection     text collate "C" not null,
  kind           text not null check (kind in ('replay', 'rollback')),
  compare_only   boolean not null default false,
  require_equal  boolean not null default false,
  state          text not null default 'requested'
                 check (state in ('requested', 'running', 'comparing', 'switched', 'compared', 'failed', 'rolled-back')),
  generation     int,
  position       bigint not null default 0,
  target         bigint not null default 0,
  rate           double precision not null default 0,
  differences    json,
  error          text,
  requested_by   text not null,
  requested_at   timestamptz not null default now(),
  finished_at    timestamptz
);
create unique index replays_unfinished on replays (projection) where state in ('requested', 'running', 'comparing');

comment on table replays is 'Rebuilds asked for, under way and done. Carried out by the holder of the read model''s lease.';
