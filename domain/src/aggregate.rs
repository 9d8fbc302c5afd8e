//! What every aggregate shares: its line in the table of types, its event names, and the way from `decide` to the
//! aggregate trait of cqrs-es.

use std::fmt::Debug;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};

/// One aggregate type, as the log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateType {
    /// The stream type, as `product`.
    pub name: &'static str,
    /// Names the serialised form of the state; a snapshot of another shape is ignored.
    pub shape: &'static str,
    /// Every event that streams of this type can hold, at its present version.
    pub events: &'static [EventType],
}

/// One event type at its present version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The full name, as `product.created`.
    pub name: &'static str,
    /// Semantic version of the payload's shape, as `1.0`.
    pub version: &'static str,
}

/// Names and versions of an `Event` enum, written once: the trait's answers and the module's `EVENT_TYPES`. A variant
/// that is missing here does not compile; that the names equal the stored tags is tested with the golden files.
macro_rules! event_types {
    ($($variant:ident = $name:literal $version:literal,)+) => {
        /// Every event of this aggregate at its present version.
        pub const EVENT_TYPES: &[$crate::EventType] =
            &[$($crate::EventType { name: $name, version: $version }),+];

        impl cqrs_es::DomainEvent for Event {
            fn event_type(&self) -> String {
                match self {
                    $(Event::$variant { .. } => $name.to_owned(),)+
                }
            }

            fn event_version(&self) -> String {
                match self {
                    $(Event::$variant { .. } => $version.to_owned(),)+
                }
            }
        }
    };
}
pub(crate) use event_types;

/// Writes what was decided to the sink of cqrs-es, which applies it.
pub(crate) async fn write<A: Aggregate>(
    aggregate: &mut A,
    decided: Result<Vec<A::Event>, A::Error>,
    sink: &EventSink<A>,
) -> Result<(), A::Error> {
    for event in decided? {
        sink.write(event, aggregate).await;
    }
    Ok(())
}

/// History was decided by `decide`; anything else is a corrupt log, and no state can be made of it. Whoever folds
/// catches the panic and fails the one stream.
pub(crate) fn illegal(state: &impl Debug, event: &impl DomainEvent) -> ! {
    unreachable!("{} recorded while {state:?}", event.event_type())
}

/// What a fold of impossible history panics with, as whoever folds catches it.
#[cfg(test)]
pub(crate) fn panic_of<A: Aggregate>(history: Vec<A::Event>) -> String {
    let fold = || {
        let mut aggregate = A::default();
        history.into_iter().for_each(|event| aggregate.apply(event));
    };
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(fold))
        .expect_err("the history was applied");
    *panic.downcast::<String>().expect("the panic has a message")
}
