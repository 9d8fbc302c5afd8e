//! An hour of a store's couriers: how many deliveries are booked in it. One stream a store and hour, written together with
//! the delivery's ([`crate::delivery::schedule`], [`crate::delivery::cancel`]).
//!
//! Invariant: no more is booked than the store's capacity was at that moment.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, DurationRound, NaiveDateTime, TimeDelta, Utc};
use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::aggregate::{event_types, illegal, write};
use crate::{DeliveryId, Invalid, StoreId};

/// A store and an hour of UTC. Written `<store_id>:<hour>`, as `store-1:2026-11-23T05`, the id of the slot's stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId {
    /// Whose couriers.
    pub store_id: StoreId,
    /// When the hour begins.
    pub starts_at: DateTime<Utc>,
}

const HOUR_FORMAT: &str = "%Y-%m-%dT%H";

impl SlotId {
    /// The hour of a store in which a moment lies.
    #[must_use]
    pub fn containing(store_id: StoreId, at: DateTime<Utc>) -> Self {
        let starts_at = at.duration_trunc(TimeDelta::hours(1)).unwrap_or(at);
        Self {
            store_id,
            starts_at,
        }
    }

    /// The slot so many hours later.
    #[must_use]
    pub fn later(&self, hours: u32) -> Self {
        Self {
            store_id: self.store_id.clone(),
            starts_at: self.starts_at + TimeDelta::hours(hours.into()),
        }
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.store_id,
            self.starts_at.format(HOUR_FORMAT)
        )
    }
}

impl FromStr for SlotId {
    type Err = Invalid;

    fn from_str(raw: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("slot id", "must be a store id, a colon and an hour");
        let (store_id, hour) = raw.split_once(':').ok_or_else(invalid)?;
        let starts_at = NaiveDateTime::parse_from_str(&format!("{hour}:00"), "%Y-%m-%dT%H:%M")
            .map_err(|_| invalid())?
            .and_utc();
        Ok(Self {
            store_id: store_id.parse()?,
            starts_at,
        })
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Take one place.
    Book {
        /// For which delivery.
        delivery_id: DeliveryId,
        /// Places there are.
        per_hour: u32,
    },
    /// Give one place back.
    Release {
        /// Of which delivery.
        delivery_id: DeliveryId,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// A place is taken.
    #[serde(rename = "slot.booked")]
    Booked {
        /// By which delivery.
        delivery_id: DeliveryId,
        /// Places taken after it.
        booked: u32,
    },
    /// A place is free again.
    #[serde(rename = "slot.released")]
    Released {
        /// Which delivery had it.
        delivery_id: DeliveryId,
        /// Places taken after it.
        booked: u32,
    },
}

event_types! {
    Booked = "slot.booked" "1.0",
    Released = "slot.released" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// Every place is taken.
    #[error("all {per_hour} places of the hour are taken")]
    Full {
        /// Places there are.
        per_hour: u32,
    },
    /// No place is taken.
    #[error("no place of the hour is taken")]
    NotBooked,
}

/// Shape of a snapshot of [`Slot`]; changes whenever its serialised form does.
pub const SHAPE: &str = "slot-1";

/// An hour as decisions see it: a count. Which delivery has a place in it is the delivery's to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    booked: u32,
}

impl Slot {
    /// Places taken.
    #[must_use]
    pub fn booked(&self) -> u32 {
        self.booked
    }

    /// # Errors
    /// [`Error`] where there is no place to take or to give back.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let event = match command {
            Command::Book { per_hour, .. } if self.booked >= per_hour => {
                return Err(Error::Full { per_hour });
            }
            Command::Book { delivery_id, .. } => Event::Booked {
                delivery_id,
                booked: self.booked + 1,
            },
            Command::Release { delivery_id } => Event::Released {
                delivery_id,
                booked: self.booked.checked_sub(1).ok_or(Error::NotBooked)?,
            },
        };
        Ok(vec![event])
    }
}

impl Aggregate for Slot {
    const TYPE: &'static str = "slot";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        self.booked = match event {
            Event::Booked { booked, .. } if booked == self.booked + 1 => booked,
            Event::Released { booked, .. } if booked + 1 == self.booked => booked,
            event => illegal(self, &event),
        };
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;
    use crate::aggregate::panic_of;

    fn delivery(number: u128) -> DeliveryId {
        DeliveryId::new(Uuid::from_u128(number))
    }

    fn booked(number: u128, booked: u32) -> Event {
        Event::Booked {
            delivery_id: delivery(number),
            booked,
        }
    }

    fn book(number: u128, per_hour: u32) -> Command {
        Command::Book {
            delivery_id: delivery(number),
            per_hour,
        }
    }

    #[test]
    fn an_hour_takes_as_many_as_the_store_can_bring() {
        let slot = || TestFramework::<Slot>::with(());
        slot()
            .given(vec![booked(1, 1)])
            .when(book(2, 2))
            .then_expect_events(vec![booked(2, 2)]);
        slot()
            .given(vec![booked(1, 1), booked(2, 2)])
            .when(book(3, 2))
            .then_expect_error(Error::Full { per_hour: 2 });
    }

    #[test]
    fn a_place_given_back_is_free_again() {
        let release = Command::Release {
            delivery_id: delivery(1),
        };
        let slot = || TestFramework::<Slot>::with(());
        slot()
            .given(vec![booked(1, 1)])
            .when(release)
            .then_expect_events(vec![Event::Released {
                delivery_id: delivery(1),
                booked: 0,
            }]);
        slot()
            .given_no_previous_events()
            .when(release)
            .then_expect_error(Error::NotBooked);
    }

    #[test]
    fn an_impossible_history_is_named() {
        let message = panic_of::<Slot>(vec![booked(1, 2)]);
        assert!(message.contains("slot.booked recorded while"), "{message}");
    }

    #[test]
    fn an_id_names_store_and_hour() {
        let at = "2026-11-23T05:59:59Z".parse().unwrap();
        let id = SlotId::containing("store-1".parse().unwrap(), at);
        assert_eq!(id.to_string(), "store-1:2026-11-23T05");
        assert_eq!(id.later(20).to_string(), "store-1:2026-11-24T01");
        assert_eq!(id.to_string().parse::<SlotId>(), Ok(id));
        for raw in [
            "",
            "store-1",
            "store-1:05",
            "Store:2026-11-23T05",
            "a:2026-11-23T25",
        ] {
            assert!(raw.parse::<SlotId>().is_err(), "{raw}");
        }
    }
}
