//! The streams that a command reads and appends to.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::slice;
use std::sync::Arc;

use cqrs_es::{Aggregate, DomainEvent};

use crate::event::RecordedEvent;

/// A folded state of any aggregate; the committer keeps those of many types side by side.
pub(crate) type State = Arc<dyn Any + Send + Sync>;

/// A stream of the log: the events of one aggregate.
pub struct Stream<A> {
    id: String,
    begins: bool,
    aggregate: PhantomData<fn() -> A>,
}

impl<A> Stream<A> {
    /// A stream that may have events already.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            begins: false,
            aggregate: PhantomData,
        }
    }

    /// A stream that begins with this command, as one named by a fresh UUID: nothing is read for it. The
    /// append checks it like any other, so a wrong guess costs a second decision, never correctness.
    pub fn beginning(id: impl Into<String>) -> Self {
        Self {
            begins: true,
            ..Self::new(id)
        }
    }
}

/// One stream, several of one kind (`Vec`), or a tuple of such. The first one is the command's own: it
/// gives the answer its id and version, and where there are events, the first of them is in it.
pub trait StreamSet: Send + Sync + 'static {
    /// What a decision looks at: `&A` for each stream.
    type States<'a>;
    /// What a decision yields: `Vec<A::Event>` for each stream.
    type Events;

    #[doc(hidden)]
    fn references(&self, into: &mut Vec<StreamReference>);
    #[doc(hidden)]
    fn states<'a>(&self, states: &mut slice::Iter<'a, ErasedState>) -> Self::States<'a>;
    #[doc(hidden)]
    fn changes(
        &self,
        events: Self::Events,
        states: &mut slice::Iter<'_, ErasedState>,
        into: &mut Vec<Change>,
    ) -> serde_json::Result<()>;
}

/// [`State`] under a public name, so that [`StreamSet`] can speak of it.
#[doc(hidden)]
pub struct ErasedState(pub(crate) State);

/// A stream without its aggregate's type, and how to fold it.
#[doc(hidden)]
#[derive(Clone)]
pub struct StreamReference {
    pub(crate) key: StreamKey,
    pub(crate) begins: bool,
    pub(crate) fold: Fold,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) aggregate_type: &'static str,
    pub(crate) aggregate_id: Arc<str>,
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.aggregate_type, self.aggregate_id)
    }
}

/// How the states of one aggregate type are made from and turned into their stored forms.
#[derive(Clone, Copy)]
pub(crate) struct Fold {
    pub(crate) initial: fn() -> State,
    pub(crate) from_snapshot: fn(&str) -> serde_json::Result<State>,
    pub(crate) events: fn(State, &[RecordedEvent]) -> Result<State, crate::DecodeError>,
    pub(crate) to_snapshot: fn(&State) -> serde_json::Result<String>,
}

/// What a decision does to one stream.
#[doc(hidden)]
pub struct Change {
    pub(crate) events: Vec<EncodedEvent>,
    /// The state after the events.
    pub(crate) state: State,
}

/// A new event in its stored form.
pub(crate) struct EncodedEvent {
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) payload: String,
}

impl<A: Aggregate + Clone + 'static> Stream<A> {
    const FOLD: Fold = Fold {
        initial: || Arc::new(A::default()),
        from_snapshot: |json| Ok(Arc::new(serde_json::from_str::<A>(json)?)),
        events: |state, events| {
            let mut aggregate = downcast::<A>(&state).clone();
            for event in events {
                aggregate.apply(event.decode::<A::Event>()?);
            }
            Ok(Arc::new(aggregate))
        },
        to_snapshot: |state| serde_json::to_string(downcast::<A>(state)),
    };
}

pub(crate) fn downcast<A: 'static>(state: &State) -> &A {
    state
        .downcast_ref()
        .expect("two aggregates must not share a TYPE")
}

impl<A: Aggregate + Clone + 'static> StreamSet for Stream<A> {
    type States<'a> = &'a A;
    type Events = Vec<A::Event>;

    fn references(&self, into: &mut Vec<StreamReference>) {
        into.push(StreamReference {
            key: StreamKey {
                aggregate_type: A::TYPE,
                aggregate_id: self.id.as_str().into(),
            },
            begins: self.begins,
            fold: Self::FOLD,
        });
    }

    fn states<'a>(&self, states: &mut slice::Iter<'a, ErasedState>) -> &'a A {
        downcast(&next(states).0)
    }

    fn changes(
        &self,
        events: Self::Events,
        states: &mut slice::Iter<'_, ErasedState>,
        into: &mut Vec<Change>,
    ) -> serde_json::Result<()> {
        let before = &next(states).0;
        let mut change = Change {
            events: Vec::with_capacity(events.len()),
            state: before.clone(),
        };
        if !events.is_empty() {
            let mut aggregate = downcast::<A>(before).clone();
            for event in events {
                change.events.push(EncodedEvent {
                    event_type: event.event_type(),
                    event_version: event.event_version(),
                    payload: serde_json::to_string(&event)?,
                });
                aggregate.apply(event);
            }
            change.state = Arc::new(aggregate);
        }
        into.push(change);
        Ok(())
    }
}

fn next<'a>(states: &mut slice::Iter<'a, ErasedState>) -> &'a ErasedState {
    states.next().expect("a state for each stream")
}

impl<S: StreamSet> StreamSet for Vec<S> {
    type States<'a> = Vec<S::States<'a>>;
    type Events = Vec<S::Events>;

    fn references(&self, into: &mut Vec<StreamReference>) {
        for set in self {
            set.references(into);
        }
    }

    fn states<'a>(&self, states: &mut slice::Iter<'a, ErasedState>) -> Self::States<'a> {
        self.iter().map(|set| set.states(states)).collect()
    }

    fn changes(
        &self,
        events: Self::Events,
        states: &mut slice::Iter<'_, ErasedState>,
        into: &mut Vec<Change>,
    ) -> serde_json::Result<()> {
        assert_eq!(events.len(), self.len(), "a list of events for each stream");
        for (set, events) in self.iter().zip(events) {
            set.changes(events, states, into)?;
        }
        Ok(())
    }
}

macro_rules! stream_set_of_tuple {
    ($($set:ident $index:tt),+) => {
        impl<$($set: StreamSet),+> StreamSet for ($($set,)+) {
            type States<'a> = ($($set::States<'a>,)+);
            type Events = ($($set::Events,)+);

            fn references(&self, into: &mut Vec<StreamReference>) {
                $(self.$index.references(into);)+
            }

            fn states<'a>(&self, states: &mut slice::Iter<'a, ErasedState>) -> Self::States<'a> {
                ($(self.$index.states(states),)+)
            }

            fn changes(
                &self,
                events: Self::Events,
                states: &mut slice::Iter<'_, ErasedState>,
                into: &mut Vec<Change>,
            ) -> serde_json::Result<()> {
                $(self.$index.changes(events.$index, states, into)?;)+
                Ok(())
            }
        }
    };
}

stream_set_of_tuple!(A 0, B 1);
stream_set_of_tuple!(A 0, B 1, C 2);
stream_set_of_tuple!(A 0, B 1, C 2, D 3);
