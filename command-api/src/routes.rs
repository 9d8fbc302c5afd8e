//! The routes, a resource a file: router, bodies, handlers.

pub(crate) mod deliveries;
pub(crate) mod internal;
pub(crate) mod inventory;
pub(crate) mod orders;
pub(crate) mod payments;
pub(crate) mod products;
pub(crate) mod sessions;
pub(crate) mod users;

mod address;
mod documented;
