//! The client, against servers in other processes that fail in every way.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is missing"
)]

mod amplification;
mod balance;
mod bodies;
mod circuit;
mod deadlines;
mod faults;
mod fixture;
mod foreign;
mod half_dead;
mod idle_race;
mod in_flight;
mod own_headers;
mod slow_instance;
mod streams;
