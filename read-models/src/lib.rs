//! The read models at rest: what answers queries.
//!
//! One module a model ([`IN_TABLES`] lists those in tables, [`search`] is an index): its tables or its index,
//! made anew for each generation, its rows, and how they are written and read. What is common to
//! them stands beside: which generation answers ([`generations`]), how far a follower has come
//! ([`checkpoints`]), waiting for one's own writes ([`positions`]), what two generations disagree
//! about ([`differences`]), how they do ([`status`]) and what they were asked to do ([`replays`]).
//!
//! Nothing here knows an event; turning events into rows is the work of `projections`.

pub mod analytics;
pub mod checkpoints;
mod comments;
pub mod deliveries;
pub mod differences;
pub mod generations;
pub mod leases;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod positions;
pub mod products;
pub mod replays;
pub mod sagas;
pub mod search;
pub mod status;
pub mod stock;
pub mod tables;
mod text;
pub mod timeline;
pub mod users;

pub use checkpoints::Checkpoint;
pub use differences::{Difference, Differences};
pub use positions::{Behind, Live, Unavailable};

/// The log that the read models follow.
pub const LOG: &str = "main";

/// Follows a read model's registered name in `dead_letters` for streams that a generation under
/// construction has parked: they are not the live one's until it takes that one's place.
pub const REBUILD_SUFFIX: &str = "#rebuild";

/// The read models in tables. A model belongs here, and in `projections::ReadModel`.
pub const IN_TABLES: &[&tables::Model] = &[
    &analytics::MODEL,
    &products::MODEL,
    &stock::MODEL,
    &users::MODEL,
    &orders::MODEL,
    &payments::MODEL,
    &deliveries::MODEL,
    &notifications::MODEL,
    &timeline::MODEL,
    &sagas::MODEL,
];

/// The shape that this program gives new generations of a projection, by its registered name.
/// `None` for a name that is no read model.
pub fn shape(projection: &str) -> Option<&'static str> {
    match model(projection) {
        search::NAME => Some(search::SHAPE),
        name => IN_TABLES
            .iter()
            .find(|model| model.name == name)
            .map(|model| model.shape),
    }
}

/// The read model that a registered name belongs to: `search` for `search@<directory id>`.
pub fn model(projection: &str) -> &str {
    projection.split('@').next().unwrap_or(projection)
}
