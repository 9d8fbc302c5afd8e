create table data_keys (
  subject    text collate "C" primary key,
  wrapped    bytea not null,
  created_at timestamptz not null default now()
);
comment on table data_keys is 'One data key a subject, wrapped by the master key of the keys file. Without the row the subject''s sealed fields are unreadable for good.';
