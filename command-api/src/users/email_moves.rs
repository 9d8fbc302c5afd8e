//! Commands that rest on which e-mail address a user has. It is sealed in the user's stream, and its claim is a stream named
//! by a digest of it: so it is read before the command is decided, and may be another one by then.

use domain::user::Error;
use domain::{Email, Sealed, User, UserId};
use eventstore::{CommandContext, CommandId, DataKey, EventStore, ExecuteError, Executed};
use http_server::Problem;
use uuid::Uuid;

use super::refusal;

/// How often it is read anew. Only the user's own requests change it, so more of them than two have to be under way.
const ATTEMPTS_MAX: u8 = 3;

/// A user's e-mail address as it was read: opened, and as the user's stream has it.
pub(super) struct Current {
    pub(super) email: Email,
    pub(super) sealed: Sealed<Email>,
}

/// None of somebody who has none, or whose data key is gone.
pub(super) async fn current(
    store: &EventStore,
    id: UserId,
    key: &DataKey,
) -> Result<Option<Current>, Problem> {
    let state = store.state_at::<User>(&id.to_string(), None).await?;
    let sealed = state.and_then(|(user, _)| Some(user.account()?.email.clone()));
    Ok(sealed.and_then(|sealed| {
        let text = String::from_utf8(key.open(sealed.ciphertext())?).ok()?;
        let email = text.parse().ok()?;
        Some(Current { email, sealed })
    }))
}

pub(super) type Outcome = Result<Executed, ExecuteError<Error>>;

/// Whether the address was another one when it came to deciding.
pub(super) fn has_moved(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Err(ExecuteError::Refused {
            error: Error::EmailMoved,
            ..
        })
    )
}

/// The contexts of the attempts at a command, for as long as [`has_moved`]. A refusal is the outcome of its command id, for
/// good: so each attempt has an id of its own, which follows from the command's, and a repeated command goes the same way to
/// the same outcome. At most the last attempt has an effect.
pub(super) fn attempts(
    store: &EventStore,
    context: CommandContext,
) -> impl Iterator<Item = CommandContext> {
    (0..ATTEMPTS_MAX).map(move |number| {
        let command = context.command.as_ref();
        CommandContext {
            command: command.map(|command| of_attempt(store, command, number)),
            ..context.clone()
        }
    })
}

/// When the last attempt has failed, too.
pub(super) fn gave_up() -> Problem {
    refusal(&Error::EmailMoved)
}

fn of_attempt(store: &EventStore, command: &CommandId, number: u8) -> CommandId {
    if number == 0 {
        return command.clone();
    }
    let parts: [&[u8]; 3] = [b"attempt", command.id.as_bytes(), &[number]];
    let digest = store.sealer().fingerprint(&parts);
    CommandId {
        id: Uuid::from_slice(&digest[..16]).expect("16 bytes are a UUID"),
        ..command.clone()
    }
}
