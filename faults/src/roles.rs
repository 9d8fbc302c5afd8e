//! What a process of the tests can be.

pub(crate) mod follower;
pub(crate) mod orders;
pub(crate) mod projection;
pub(crate) mod reactors;
pub(crate) mod relay;
pub(crate) mod writer;
