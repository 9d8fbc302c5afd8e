-- A consumer may have very many dead letters: what operators asked for, and what waits for them, is found without reading them all.
create index dead_letters_state on dead_letters (consumer, log, state, position);
