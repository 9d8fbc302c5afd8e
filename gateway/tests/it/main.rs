//! The door, on real sockets between a client and an upstream in another process.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod door;
mod reading;
mod refusals;
mod streaming;
mod tokens;
mod wire;
