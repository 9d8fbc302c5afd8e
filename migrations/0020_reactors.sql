-- How far the reactors have come on Kafka, where the members of a consumer group share the partitions. On the store feed their
-- progress is a row of checkpoints, which also says where a reactor began.
create table reactor_progress (
  consumer        text collate "C" not null,
  log             text collate "C" not null default 'main',
  topic           text collate "C" not null,
  partition       int not null check (partition >= 0),
  partitions      int not null check (partitions > partition),
  position        bigint not null check (position >= 0),
  event_id        uuid,
  record_offset   bigint check (record_offset >= 0),
  record_position bigint,
  updated_at      timestamptz not null default now(),
  primary key (consumer, log, topic, partition)
);
comment on table reactor_progress is 'How far each reactor has come in each partition of the topics that it reads. Written by whichever member of its consumer group the partition is assigned to; it only moves forward.';
comment on column reactor_progress.consumer is 'The reactor.';
comment on column reactor_progress.log is 'Which log.';
comment on column reactor_progress.topic is 'The topic, with its prefix.';
comment on column reactor_progress.partition is 'The partition.';
comment on column reactor_progress.partitions is 'How many the topic has: with another number the streams are in other partitions, and the row means nothing.';
comment on column reactor_progress.position is 'Everything of this partition up to here, in the log, is handled or parked.';
comment on column reactor_progress.event_id is 'The event at that position, of whatever type, to notice a log that was rewound; null at position 0.';
comment on column reactor_progress.record_offset is 'Where reading goes on: a hint, the offset of a record that was handled; null where none was read yet.';
comment on column reactor_progress.record_position is 'Which event that record carries. Where it carries another one, the topic was refilled and is read from its beginning.';
comment on column reactor_progress.updated_at is 'When it moved last.';

-- Timers are looked for by who acts on them, up to the first slash of their names, in the order in which they are due. The index by
-- time alone would show each of them the others' first.
create index timers_owner on timers (left(name, strpos(name, '/')), due_at, name);
drop index timers_due_at;
