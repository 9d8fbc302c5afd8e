create table log (
  name             text collate "C" primary key,
  keys_fingerprint bytea,
  created_at       timestamptz not null default now()
);
comment on table log is 'The event log of this database: its name, and which keys file its sealed fields were written with.';
comment on column log.keys_fingerprint is 'Digest of the keys file in use; a process with another file refuses to start.';
insert into log (name) values ('main');
