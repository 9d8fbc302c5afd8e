//! Events as projections take them: parsed, with their place in the log and in their stream.

use std::error::Error;
use std::fmt::Display;

use chrono::{DateTime, Utc};
use cqrs_es::DomainEvent;
use eventstore::{HandleError, RecordedEvent};

/// A parsed event.
pub(crate) struct Recorded<'a, E> {
    pub(crate) position: i64,
    /// Id of its stream.
    pub(crate) id: &'a str,
    /// Version of the stream after it.
    pub(crate) version: i64,
    /// When it was recorded.
    pub(crate) at: DateTime<Utc>,
    pub(crate) event: E,
}

impl<'a, E> Recorded<'a, E> {
    pub(crate) fn map<F>(self, to: impl FnOnce(E) -> F) -> Recorded<'a, F> {
        Recorded {
            position: self.position,
            id: self.id,
            version: self.version,
            at: self.at,
            event: to(self.event),
        }
    }

    /// Where it stands, and what it is.
    pub(crate) fn split(self) -> (Recorded<'a, ()>, E) {
        let place = Recorded {
            position: self.position,
            id: self.id,
            version: self.version,
            at: self.at,
            event: (),
        };
        (place, self.event)
    }

    pub(crate) fn try_map<F, X>(
        self,
        to: impl FnOnce(E) -> Result<F, X>,
    ) -> Result<Recorded<'a, F>, X> {
        Ok(Recorded {
            position: self.position,
            id: self.id,
            version: self.version,
            at: self.at,
            event: to(self.event)?,
        })
    }
}

/// Parses an event of a type that is read. One that this program cannot read parks its stream.
pub(crate) fn read<E: DomainEvent>(
    recorded: &RecordedEvent,
) -> Result<Recorded<'_, E>, HandleError> {
    let event = recorded
        .decode()
        .map_err(|error| poison(recorded.position, one_line(&error)))?;
    Ok(of(recorded, event))
}

/// What was made of an event, in its place.
pub(crate) fn of<E>(recorded: &RecordedEvent, event: E) -> Recorded<'_, E> {
    Recorded {
        position: recorded.position,
        id: &recorded.aggregate_id,
        version: recorded.sequence,
        at: recorded.recorded_at,
        event,
    }
}

/// The event at this position can never be handled as the program is.
pub(crate) fn poison(position: i64, error: impl Display) -> HandleError {
    HandleError::Poison {
        position,
        error: error.to_string(),
    }
}

/// Of an error and its causes, one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line.replace('\n', " ")
}
