create table snapshots (
  aggregate_type text collate "C" not null,
  aggregate_id   text collate "C" not null,
  sequence       bigint not null check (sequence >= 1),
  shape          text collate "C" not null,
  state          json not null,
  primary key (aggregate_type, aggregate_id)
);
comment on table snapshots is 'States of long streams, a cache: written after the commit, ignored where the shape differs.';
