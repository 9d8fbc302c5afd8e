//! Projections on a real database, fed by real commands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod damaged;
mod following;
mod indexes;
mod kafka;
mod models;
mod replays;
mod rewound;
mod shop;
mod unknown_events;
mod verifying;
mod versions;
