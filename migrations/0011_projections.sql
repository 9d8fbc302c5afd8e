create table projections (
  name           text collate "C" primary key,
  live           int,
  live_shape     text,
  previous       int,
  previous_shape text,
  building       int,
  paused         boolean not null default false,
  failure        text
);
comment on table projections is 'The read models: which generation answers queries. Switching is an update of one row.';
comment on column projections.name is 'The read model; an index belongs to a data directory and is named search@<directory id>.';
comment on column projections.previous is 'The generation before, kept up to date until the next replay so that a rollback never goes back in time.';
comment on column projections.failure is 'Why the read model stopped, in one line that says what to run; null while it works.';
