create table timers (
  name    text collate "C" primary key,
  due_at  timestamptz not null,
  payload json not null
);
create index timers_due_at on timers (due_at);

comment on table timers is 'What is to happen later. Set and cleared by append() in the commit of the events that decide it; never locked by a reader.';
