//! Of what a user wants to be told, and how.

use serde::{Deserialize, Serialize};

/// By topic, through which channels a user is notified. Not personal data: it says nothing about who somebody is.
///
/// A topic or channel that a later version adds is one with a default here: an event that does not name it means that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NotificationPreferences {
    /// An order is arranged, cancelled or returned.
    pub order: Channels,
    /// A payment is taken, refused or given back.
    pub payment: Channels,
    /// A delivery is scheduled, on its way, done or failed.
    pub delivery: Channels,
    /// The account itself changes: profile, password, role, end.
    pub account: Channels,
}

/// The ways to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Channels {
    /// A mail to the user's address.
    pub email: bool,
    /// A call of the shop's web hook.
    pub webhook: bool,
    /// A line in the log of the notifier.
    pub log: bool,
}

impl Channels {
    /// Through none.
    pub const NONE: Self = Self {
        email: false,
        webhook: false,
        log: false,
    };
    /// By mail only.
    pub const EMAIL: Self = Self {
        email: true,
        ..Self::NONE
    };
}

impl NotificationPreferences {
    /// Told of nothing.
    pub const NONE: Self = Self {
        order: Channels::NONE,
        payment: Channels::NONE,
        delivery: Channels::NONE,
        account: Channels::NONE,
    };
}

/// Of everything, by mail: for whoever never said otherwise.
impl Default for NotificationPreferences {
    fn default() -> Self {
        Self {
            order: Channels::EMAIL,
            payment: Channels::EMAIL,
            delivery: Channels::EMAIL,
            account: Channels::EMAIL,
        }
    }
}
