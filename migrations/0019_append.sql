-- As before, and it destroys data keys: an erasure and the end of the subject's key are one commit.
create or replace function append(
  -- every stream that a decision of the batch read, once, with its version before the batch
  s_group int[], s_type text[], s_id text[], s_version bigint[],
  -- the commands that carry an id; c_answer where they end without an event; c_expires in seconds, null for ids derived from events
  c_group int[], c_id uuid[], c_fingerprint bytea[], c_answer text[], c_expires double precision[],
  -- the new events in the order decided; the command's columns on its first event
  e_group int[], e_id uuid[], e_aggregate_type text[], e_aggregate_id text[], e_sequence bigint[], e_type text[], e_version text[],
  e_payload text[], e_metadata text[], e_command uuid[], e_command_events int[], e_fingerprint bytea[],
  -- timers: set where t_due is given, cleared where it is null
  t_group int[], t_name text[], t_due timestamptz[], t_payload text[],
  -- data keys: stored where k_wrapped is given, drawn for the sealed fields of this batch; destroyed where it is null
  k_group int[], k_subject text[], k_wrapped bytea[]
) returns table (what text, i bigint, num bigint)
language plpgsql volatile
-- Index probes from the first row on, on an empty and unanalysed table too; else a plan made on the empty table scans for ever,
-- and a forbidden scan alone starts the JIT on each call.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare head bigint; newest bigint; at timestamptz; known int[] := '{}'; moved int[]; dropped int[] := '{}';
begin
  -- until the transaction's end; a SET clause of the function would end before the commit
  perform set_config('synchronous_commit', 'on', true);
  perform pg_advisory_xact_lock(7305801);
  select e.position, greatest(clock_timestamp(), e.recorded_at) into head, at from events e order by e.position desc limit 1;
  head := coalesce(head, 0); at := coalesce(at, clock_timestamp());
  what := 'head'; num := head; return next;

  if cardinality(c_id) > 0 then
    known := array(
      select o::int from unnest(c_id) with ordinality c(id, o)
      where exists (select from events e where e.command_id = c.id) or exists (select from outcomes x where x.command_id = c.id));
  end if;
  moved := array(
    select o::int from unnest(s_type, s_id, s_version) with ordinality s(t, id, v, o)
    where v <> coalesce((select e.sequence from events e where e.aggregate_type = s.t and e.aggregate_id = s.id
                         order by e.sequence desc limit 1), 0));

  if cardinality(known) + cardinality(moved) = 0 then
    insert into events (position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                        command_id, command_events, fingerprint, recorded_at)
    select head + o, id, t, a, s, et, ev, p::json, m::json, c, n, f, at
    from unnest(e_id, e_aggregate_type, e_aggregate_id, e_sequence, e_type, e_version, e_payload, e_metadata,
                e_command, e_command_events, e_fingerprint) with ordinality r(id, t, a, s, et, ev, p, m, c, n, f, o);
  else
    return query select 'known', k::bigint, null::bigint from unnest(known) k;
    return query select 'moved', m::bigint, null::bigint from unnest(moved) m;
    dropped := array(select c_group[k] from unnest(known) k union select s_group[m] from unnest(moved) m);
    insert into events (position, event_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata,
                        command_id, command_events, fingerprint, recorded_at)
    select head + row_number() over (order by o), id, t, a, s, et, ev, p::json, m::json, c, n, f, at
    from unnest(e_group, e_id, e_aggregate_type, e_aggregate_id, e_sequence, e_type, e_version, e_payload, e_metadata,
                e_command, e_command_events, e_fingerprint) with ordinality r(g, id, t, a, s, et, ev, p, m, c, n, f, o)
    where not g = any (dropped) order by o;
  end if;
  -- what a command without events rests on may be an event of this very batch
  get diagnostics newest = row_count;
  newest := head + newest;

  if cardinality(array_remove(c_answer, null)) > 0 then
    insert into outcomes (command_id, fingerprint, answer, position, expires_at)
    select c.id, c.f, c.answer::json, newest, at + make_interval(secs => c.x)
    from unnest(c_group, c_id, c_fingerprint, c_answer, c_expires) c(g, id, f, answer, x)
    where c.answer is not null and not c.g = any (dropped);
  end if;
  if cardinality(t_name) > 0 then
    delete from timers using unnest(t_group, t_name, t_due) t(g, name, due)
    where timers.name = t.name and t.due is null and not t.g = any (dropped);
    insert into timers (name, due_at, payload)
    select t.name, t.due, t.payload::json from unnest(t_group, t_name, t_due, t_payload) t(g, name, due, payload)
    where t.due is not null and not t.g = any (dropped)
    on conflict (name) do update set due_at = excluded.due_at, payload = excluded.payload;
  end if;
  if cardinality(k_subject) > 0 then
    delete from data_keys using unnest(k_group, k_subject, k_wrapped) k(g, subject, wrapped)
    where data_keys.subject = k.subject and k.wrapped is null and not k.g = any (dropped);
    -- A second key for a subject would make what the first one sealed unreadable: a violation, not a no-op.
    insert into data_keys (subject, wrapped)
    select k.subject, k.wrapped from unnest(k_group, k_subject, k_wrapped) k(g, subject, wrapped)
    where k.wrapped is not null and not k.g = any (dropped);
  end if;
end $$;
