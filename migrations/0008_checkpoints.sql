create table checkpoints (
  consumer   text collate "C" not null,
  generation int not null default 0,
  log        text collate "C" not null default 'main',
  position   bigint not null check (position >= 0),
  event_id   uuid,
  updated_at timestamptz not null default now(),
  primary key (consumer, generation, log)
);
comment on table checkpoints is 'How far each follower of the log has come; everything up to position has had its effect.';
comment on column checkpoints.event_id is 'The event at that position, to notice a log that was rewound; null at position 0.';
