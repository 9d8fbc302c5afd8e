create table refresh_tokens (
  token_hash bytea primary key,
  user_id    uuid not null,
  family     uuid not null,
  used       boolean not null default false,
  expires_at timestamptz not null
);
create index refresh_tokens_family on refresh_tokens (family);
create index refresh_tokens_user on refresh_tokens (user_id);
comment on table refresh_tokens is 'Refresh tokens by digest. Each works once; using one again ends its whole family.';
