//! How many deliveries a store can make in an hour. One stream a store.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::StoreId;
use crate::aggregate::{event_types, write};

/// Deliveries an hour of a store that never said otherwise.
pub const PER_HOUR_DEFAULT: u32 = 1_000;

/// No store has more couriers than that.
pub const PER_HOUR_MAX: u32 = 100_000;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make so many an hour from now on. What is booked stays booked.
    Change {
        /// Which store; the id of the stream.
        store_id: StoreId,
        /// At most [`PER_HOUR_MAX`]; none at 0.
        per_hour: u32,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// So many an hour from now on.
    #[serde(rename = "capacity.changed")]
    Changed {
        /// Which store.
        store_id: StoreId,
        /// None at 0.
        per_hour: u32,
    },
}

event_types! {
    Changed = "capacity.changed" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// More than [`PER_HOUR_MAX`].
    #[error("a store delivers at most {PER_HOUR_MAX} orders an hour")]
    TooMany,
}

/// Shape of a snapshot of [`Capacity`]; changes whenever its serialised form does.
pub const SHAPE: &str = "capacity-1";

/// A store's capacity as decisions see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    changed: Option<u32>,
}

impl Capacity {
    /// Deliveries an hour.
    #[must_use]
    pub fn per_hour(&self) -> u32 {
        self.changed.unwrap_or(PER_HOUR_DEFAULT)
    }

    /// # Errors
    /// [`Error::TooMany`]. What changes nothing yields no event.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        let Command::Change { store_id, per_hour } = command;
        if per_hour > PER_HOUR_MAX {
            return Err(Error::TooMany);
        }
        let news = (self.per_hour() != per_hour).then_some(Event::Changed { store_id, per_hour });
        Ok(news.into_iter().collect())
    }
}

impl Aggregate for Capacity {
    const TYPE: &'static str = "capacity";
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
        let Event::Changed { per_hour, .. } = event;
        self.changed = Some(per_hour);
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;

    use super::*;

    fn change(per_hour: u32) -> Command {
        let store_id = "store-1".parse().unwrap();
        Command::Change { store_id, per_hour }
    }

    fn changed(per_hour: u32) -> Event {
        let store_id = "store-1".parse().unwrap();
        Event::Changed { store_id, per_hour }
    }

    #[test]
    fn a_store_delivers_what_it_says() {
        let store = || TestFramework::<Capacity>::with(());
        store()
            .given_no_previous_events()
            .when(change(0))
            .then_expect_events(vec![changed(0)]);
        store()
            .given(vec![changed(5)])
            .when(change(5))
            .then_expect_events(vec![]);
        store()
            .given_no_previous_events()
            .when(change(PER_HOUR_MAX + 1))
            .then_expect_error(Error::TooMany);
    }

    #[test]
    fn a_store_that_said_nothing_has_the_usual_capacity() {
        assert_eq!(Capacity::default().per_hour(), PER_HOUR_DEFAULT);
    }
}
