//! The read models at rest: what answers queries.
//!
//! One module a model ([`products`], [`stock`], [`users`], [`search`]): its tables or its index,
//! made anew for each generation, its rows, and how they are written and read. What is common to
//! them stands beside: which generation answers ([`generations`]), how far a follower has come
//! ([`checkpoints`]), waiting for one's own writes ([`positions`]), what two generations disagree
//! about ([`differences`]), how they do ([`status`]) and what they were asked to do ([`replays`]).
//!
//! Nothing here knows an event; turning events into rows is the work of `projections`.

pub mod checkpoints;
mod comments;
pub mod differences;
pub mod generations;
pub mod leases;
pub mod positions;
pub mod products;
pub mod replays;
pub mod search;
pub mod status;
pub mod stock;
pub mod users;

pub use checkpoints::Checkpoint;
pub use differences::{Difference, Differences};
pub use positions::{Behind, Live, Unavailable};

/// The log that the read models follow.
pub const LOG: &str = "main";

/// Follows a read model's registered name in `dead_letters` for streams that a generation under
/// construction has parked: they are not the live one's until it takes that one's place.
pub const REBUILD_SUFFIX: &str = "#rebuild";

/// The read models by name. The search index is registered per data directory, as
/// `search@<directory id>`.
pub const NAMES: [&str; 4] = [products::NAME, stock::NAME, users::NAME, search::NAME];

/// The shape that this program gives new generations of a projection, by its registered name.
/// `None` for a name that is no read model.
pub fn shape(projection: &str) -> Option<&'static str> {
    match model(projection) {
        products::NAME => Some(products::SHAPE),
        stock::NAME => Some(stock::SHAPE),
        users::NAME => Some(users::SHAPE),
        search::NAME => Some(search::SHAPE),
        _ => None,
    }
}

/// The read model that a registered name belongs to: `search` for `search@<directory id>`.
pub fn model(projection: &str) -> &str {
    projection.split('@').next().unwrap_or(projection)
}
