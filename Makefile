# What people and CI run. One profile and one target folder for all of it.

.PHONY: run test check fmt docs bench faults

# Installs what is missing, builds, and starts everything in one process.
run:
	scripts/install-engines
	cargo run --package nakku -- up

# All tests, beside a PostgreSQL server and a Kafka broker of their own.
test:
	scripts/install-engines --kafka
	scripts/with-engines --kafka cargo test --workspace

# What CI runs. The engines come first: the build needs some of the same packages.
check:
	scripts/install-engines --kafka
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	$(MAKE) test

# The fault tests at length: minutes instead of seconds, from a seed that they print. NAKKU_FAULTS_SEED=N repeats one.
faults:
	scripts/install-engines --kafka
	NAKKU_FAULTS_LONG=yes scripts/with-engines --kafka cargo test --workspace --test faults -- --nocapture --test-threads 1
	NAKKU_FAULTS_LONG=yes scripts/with-engines cargo test --workspace --test it gateway_kills -- --nocapture

fmt:
	cargo fmt --all

docs:
	cargo doc --workspace --no-deps --open

# Ratios to what bounds us (pgbench, a scan, Tantivy, a bare producer), how well products are found, and the gateway where
# things go wrong, in turns on engines of its own; optimised, so it compiles once more, and takes minutes. Beside nginx and
# Envoy only where they are installed: bench/peers/gateway.sh says how.
bench:
	scripts/install-engines --kafka
	cargo build --release --package nakku
	target/release/nakku bench append
	target/release/nakku bench replay
	target/release/nakku bench quality --catalogue nakku/seed/catalogue.ndjson.gz
	target/release/nakku bench gateway
	if bench/peers/gateway.sh possible; then bench/peers/gateway.sh; fi
	scripts/with-engines --kafka sh -c \
	  'DATABASE_URL=$$NAKKU_TEST_DATABASE_URL KAFKA_BROKERS=$$NAKKU_TEST_KAFKA_BROKERS target/release/nakku bench relay'
