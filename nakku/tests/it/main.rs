//! The binary from outside: its story end to end, its failures, and what keeps the workspace tidy.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod api;
mod bench;
mod command_line;
mod demo;
mod ending;
mod erasure;
mod failures;
mod flood;
mod gateway;
mod gateway_kills;
mod guarantees;
mod import;
mod logs;
mod openapi;
mod orders;
mod other_eyes;
mod preferences;
mod private_postgres;
mod process;
mod replay_under_queries;
mod restored;
mod sagas;
mod schemathesis;
mod story_embedded;
mod story_gateway;
mod story_roles;
mod tidy;
mod verbs;
mod wrong_inputs;
