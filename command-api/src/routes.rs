//! The routes, a resource a file: router, bodies, handlers.

pub(crate) mod inventory;
pub(crate) mod products;
pub(crate) mod sessions;
pub(crate) mod users;

mod documented;
