//! The binary from outside: its story end to end, its failures, and what keeps the workspace tidy.

#![expect(clippy::unwrap_used, reason = "a failing step fails its test")]

mod api;
mod command_line;
mod failures;
mod openapi;
mod private_postgres;
mod process;
mod story_embedded;
mod story_roles;
mod tidy;
mod verbs;
