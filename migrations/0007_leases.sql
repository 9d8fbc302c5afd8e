create table leases (
  name       text collate "C" primary key,
  holder     text not null,
  epoch      bigint not null check (epoch >= 1),
  expires_at timestamptz not null,
  location   text
);
comment on table leases is 'Who leads or owns what. Taken with epoch + 1 once expired by this server''s clock; every write that a lease protects names its epoch.';
comment on column leases.location is 'Where the holder writes, if readers must know: the directory of a search index, relative to its data directory.';
