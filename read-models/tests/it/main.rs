//! The read models against real engines: Postgres, and index directories on disk.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod answers;
mod checkpoints;
mod epochs;
mod generations;
mod hostile;
mod models;
mod paging;
mod positions;
mod quality;
mod reader;
mod search;
mod seed;
mod shop;
mod suggest;
mod tables;
mod writer;
