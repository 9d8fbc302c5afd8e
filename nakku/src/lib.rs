//! The one program: command line, configuration, secrets, the private PostgreSQL, roles and verbs.

pub mod cli;
pub mod config;
pub mod database;
pub mod first_start;
pub mod installation;
pub mod keys_file;
pub mod one_line;
mod open_files;
pub mod output;
pub mod private_postgres;
pub mod roles;
pub mod schema;
pub mod seed;
pub mod shutdown;
pub mod telemetry;
pub mod topics;
pub mod verbs;
