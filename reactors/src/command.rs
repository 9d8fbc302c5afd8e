//! How reactors give commands, and what becomes of their outcomes.

use std::fmt::Display;

use anyhow::anyhow;
use eventstore::{
    CommandContext, DueTimer, EventStore, ExecuteError, Executed, ReactError, RecordedEvent,
};

/// The context of the one command by which `reactor` answers an event. Handled again, it happens once.
pub(crate) fn answering(
    store: &EventStore,
    reactor: &str,
    name: &'static str,
    event: &RecordedEvent,
) -> CommandContext {
    store
        .derived_context(name, reactor, &event.event_id.to_string())
        .caused_by(event)
}

/// The context of the one command by which a timer is acted on, as a consequence of what set it.
pub(crate) fn acting_on(
    store: &EventStore,
    name: &'static str,
    timer: &DueTimer,
) -> CommandContext {
    store
        .derived_context(name, &format!("timer/{name}"), &timer.id())
        .because_of(timer.cause())
}

/// Gives a command. One that was refused before under its id is decided anew, without it: it has never taken effect, and
/// the rules or the states may be others by now, as when an operator retries what was parked.
pub(crate) async fn give<E, F>(
    context: CommandContext,
    execute: impl Fn(CommandContext) -> F,
) -> Result<Executed, ExecuteError<E>>
where
    F: Future<Output = Result<Executed, ExecuteError<E>>>,
{
    let again = CommandContext {
        command: None,
        ..context.clone()
    };
    match execute(context).await {
        Err(ExecuteError::Refused { replayed: true, .. }) => execute(again).await,
        outcome => outcome,
    }
}

/// An outcome for whoever answers an event. A rule's refusal cannot pass by waiting: somebody has to look at it.
pub(crate) fn settled<E: Display>(
    outcome: Result<Executed, ExecuteError<E>>,
) -> Result<Executed, ReactError> {
    outcome.map_err(|error| match error {
        ExecuteError::Refused { error, .. } => ReactError::Poison(error.to_string()),
        ExecuteError::Invalid(reason) | ExecuteError::Corrupt(reason) => ReactError::Poison(reason),
        ExecuteError::KeyReused => {
            ReactError::Poison("the command id was used for another command".to_owned())
        }
        ExecuteError::VersionMismatch { .. }
        | ExecuteError::InFlight
        | ExecuteError::Overloaded
        | ExecuteError::OutcomeUnknown
        | ExecuteError::Closed => ReactError::Transient(anyhow!("{}", one_line(&error))),
    })
}

/// The same for whoever acts on a timer, which is tried again whatever went wrong.
pub(crate) fn acted<E: Display>(
    outcome: Result<Executed, ExecuteError<E>>,
) -> anyhow::Result<Executed> {
    outcome.map_err(|error| match error {
        ExecuteError::Refused { error, .. } => anyhow!("refused: {error}"),
        error => anyhow!("{}", one_line(&error)),
    })
}

fn one_line<E>(error: &ExecuteError<E>) -> &'static str {
    match error {
        ExecuteError::Refused { .. } => "refused",
        ExecuteError::VersionMismatch { .. } => "the stream has another version",
        ExecuteError::KeyReused => "the command id was used for another command",
        ExecuteError::InFlight => "a command with this id is under way",
        ExecuteError::Overloaded => "the store is overloaded",
        ExecuteError::OutcomeUnknown => "the outcome is unknown",
        ExecuteError::Invalid(_) => "the store cannot hold it",
        ExecuteError::Corrupt(_) => "a stream's history is corrupt",
        ExecuteError::Closed => "the store is closed",
    }
}

/// Reads an event of an aggregate. One that this program cannot read parks its stream.
pub(crate) fn read<E: cqrs_es::DomainEvent>(event: &RecordedEvent) -> Result<E, ReactError> {
    Ok(event.decode()?)
}

/// The id that a stream is named by.
pub(crate) fn stream_id<T: std::str::FromStr<Err = domain::Invalid>>(
    event: &RecordedEvent,
) -> Result<T, ReactError> {
    event
        .aggregate_id
        .parse()
        .map_err(|error: domain::Invalid| ReactError::Poison(error.to_string()))
}
