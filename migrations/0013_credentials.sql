create table credentials (
  user_id       uuid primary key,
  password_hash text not null,
  updated_at    timestamptz not null default now()
);
comment on table credentials is 'Password hashes (argon2id). Never in the log; written before the event that makes them count.';
