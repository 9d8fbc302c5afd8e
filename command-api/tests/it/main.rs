//! The API over a real PostgreSQL, a file a resource.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod app;
mod shop;

mod deliveries;
mod document;
mod erasure;
mod idempotency;
mod import;
mod internal;
mod inventory;
mod orders;
mod orders_at_once;
mod orders_waiting;
mod passwords;
mod payments;
mod products;
mod profiles;
mod program;
mod sessions;
mod users;
