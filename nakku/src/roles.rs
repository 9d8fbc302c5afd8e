//! The roles: each alone with a port of its own, or all of them in one process.

mod admin_api;
pub mod alone;
mod checks;
mod command_api;
mod connections;
mod documented;
pub mod gateway;
mod part;
mod phase;
mod project;
mod query_api;
mod react;
mod ready;
mod relay;
mod services;
mod serving;
pub mod up;
mod workers;

pub(crate) use documented::describe;
pub(crate) use part::holder;
pub(crate) use project::models;
pub use react::UnknownReactor;
