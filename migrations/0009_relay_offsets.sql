create table relay_offsets (
  log       text collate "C" not null default 'main',
  topic     text collate "C" not null,
  partition int not null,
  next      bigint not null check (next >= 0),
  primary key (log, topic, partition)
);
comment on table relay_offsets is 'Per partition the Kafka offset after the last acknowledged record at or below the relay''s checkpoint.';
