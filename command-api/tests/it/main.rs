//! The API over a real PostgreSQL, a file a resource.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod app;

mod document;
mod erasure;
mod idempotency;
mod import;
mod inventory;
mod passwords;
mod products;
mod profiles;
mod program;
mod sessions;
mod users;
