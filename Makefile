# What people and CI run. One profile and one target folder for all of it.

.PHONY: run test check fmt docs bench

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

fmt:
	cargo fmt --all

docs:
	cargo doc --workspace --no-deps --open

# Ratios against PostgreSQL itself, in turns on one server; optimised, so it compiles once more.
bench:
	scripts/install-engines
	scripts/with-engines cargo bench --package eventstore --bench append
