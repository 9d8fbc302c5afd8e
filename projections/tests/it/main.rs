//! Projections on a real database, fed by real commands.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod analytics;
mod baskets;
mod damaged;
mod deliveries;
mod following;
mod indexes;
mod kafka;
mod models;
mod ordering;
mod orders;
mod replays;
mod rewound;
mod sagas;
mod shop;
mod story;
mod timeline;
mod unknown_events;
mod verifying;
mod versions;
