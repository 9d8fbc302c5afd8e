comment on column log.name is 'The name that other tables and records call the log by.';
comment on column log.created_at is 'When this schema was made.';

comment on column events.event_id is 'Drawn for the event before it is sent, so that a batch whose outcome was unknown is recognised.';
comment on column events.aggregate_type is 'The kind of stream, as product.';
comment on column events.aggregate_id is 'The stream, among those of its kind.';
comment on column events.event_type is 'What happened, as product.created.';

comment on column outcomes.command_id is 'Digest of scope and id, as on events.';
comment on column outcomes.fingerprint is 'Keyed digest of what was asked, as on events.';

comment on column timers.name is 'Names the timer; setting one of the same name replaces it.';
comment on column timers.due_at is 'When it is due.';
comment on column timers.payload is 'What is handed to whoever acts on it.';

comment on column data_keys.subject is 'Whose fields the key seals, as a user id.';
comment on column data_keys.wrapped is 'The key, encrypted under the master key.';
comment on column data_keys.created_at is 'When the key was drawn.';

comment on column snapshots.aggregate_type is 'The kind of stream.';
comment on column snapshots.aggregate_id is 'The stream, among those of its kind.';
comment on column snapshots.sequence is 'Version of the stream that the state is of.';
comment on column snapshots.shape is 'Which serialised form the state has; a program that knows another one writes its own.';
comment on column snapshots.state is 'The folded state.';

comment on column leases.name is 'What is led or owned: relay, or a read model.';
comment on column leases.holder is 'Which process, as host and process id.';
comment on column leases.epoch is 'Counts the holders; what an earlier one still tries is refused.';
comment on column leases.expires_at is 'From then on anyone may take it, by the clock of this server.';

comment on column checkpoints.consumer is 'Who follows: relay, or a read model.';
comment on column checkpoints.generation is 'Of the read model; 0 for whoever has no generations.';
comment on column checkpoints.log is 'Which log.';
comment on column checkpoints.position is 'Everything up to here has had its effect.';
comment on column checkpoints.updated_at is 'When it moved last.';

comment on column relay_offsets.log is 'Which log.';
comment on column relay_offsets.topic is 'The topic, with its prefix.';
comment on column relay_offsets.partition is 'The partition.';
comment on column relay_offsets.next is 'The offset after the last acknowledged record.';

comment on column relay_failures.log is 'Which log.';

comment on column dead_letters.id is 'What operators name it by.';
comment on column dead_letters.consumer is 'Who could not handle it.';
comment on column dead_letters.log is 'Which log.';
comment on column dead_letters.stream_type is 'The kind of stream that is parked.';
comment on column dead_letters.stream_id is 'The stream that is parked.';
comment on column dead_letters.position is 'Where the event is in the log.';
comment on column dead_letters.event_type is 'What happened.';
comment on column dead_letters.attempts is 'How often handling it was tried.';
comment on column dead_letters.parked_at is 'When it was set aside.';
comment on column dead_letters.decided_by is 'Who asked for the retry, or discarded it.';
comment on column dead_letters.reason is 'Why it was discarded.';
comment on column dead_letters.decided_at is 'When that was decided.';

comment on column projections.live is 'The generation that answers queries; null before the first.';
comment on column projections.live_shape is 'The shape of its rows; a program that knows another one makes a new generation.';
comment on column projections.previous_shape is 'The shape of the generation before.';
comment on column projections.building is 'The generation under construction, if any.';
comment on column projections.paused is 'Set by an operator: the read model stands still.';

comment on column replays.id is 'What operators name it by.';
comment on column replays.projection is 'The read model.';
comment on column replays.kind is 'replay, or rollback to the generation before.';
comment on column replays.compare_only is 'Report the differences and do not switch.';
comment on column replays.require_equal is 'Switch only where there is no difference.';
comment on column replays.state is 'requested, running, comparing; then switched, compared, failed or rolled-back.';
comment on column replays.generation is 'The generation that is made.';
comment on column replays.position is 'How far it has come.';
comment on column replays.target is 'Head of the log when it was looked at last.';
comment on column replays.rate is 'Events a second.';
comment on column replays.differences is 'Counts and the first differences; null where nothing was compared.';
comment on column replays.error is 'Why it failed, on one line.';
comment on column replays.requested_by is 'Who asked for it.';
comment on column replays.requested_at is 'When.';
comment on column replays.finished_at is 'When it came to its end; null until then.';

comment on column credentials.user_id is 'The user.';
comment on column credentials.password_hash is 'In the PHC string format.';
comment on column credentials.updated_at is 'When the password was set.';

comment on column refresh_tokens.token_hash is 'Digest of the token; the token itself is kept nowhere.';
comment on column refresh_tokens.user_id is 'Whose it is.';
comment on column refresh_tokens.family is 'The log-in that it descends from.';
comment on column refresh_tokens.used is 'Spent; being shown again it ends the family.';
comment on column refresh_tokens.expires_at is 'When it ends by itself.';
