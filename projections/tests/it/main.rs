//! Projections on a real database, fed by real commands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod following;
mod indexes;
mod kafka;
mod models;
mod replays;
mod shop;
mod verifying;
