//! The read models against real engines: Postgres, and index directories on disk.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod answers;
mod checkpoints;
mod epochs;
mod generations;
mod models;
mod positions;
mod reader;
mod search;
mod seed;
mod shop;
mod writer;
