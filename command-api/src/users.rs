//! What can be done to users. Personal fields are sealed here (the UTF-8 text, under the user's data key), passwords
//! hashed here; the log sees neither.

mod change_password;
mod email_moves;
mod erasure;
mod profile;

use domain::user::{Command, Error, Register};
use domain::{Email, EmailClaim, PersonName, PhoneNumber, Role, Sealed, User, UserId};
use eventstore::{CommandContext, DataKey, EventStore, ExecuteError, Executed, Sealer, Stream};
use http_server::Problem;
use uuid::Uuid;

use crate::password::{Password, Passwords};
use crate::problems::of_database;
use crate::{credentials, execute, problems, refresh_tokens};

pub use change_password::change_password;
pub use erasure::erase;
pub(crate) use profile::key_of;
pub use profile::{ProfileUpdate, add_address, change_preferences, update_profile};

/// What an administrator is called who was made by the program.
const ADMINISTRATOR_NAME: &str = "Administrator";

/// A user who is to have an account.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// No other user's.
    pub email: Email,
    /// What the user is called.
    pub name: PersonName,
    /// Where the user is called.
    pub phone: Option<PhoneNumber>,
    /// What the user logs in with.
    pub password: Password,
    /// What the user may do.
    pub role: Role,
}

/// An administrator who was made.
#[derive(Debug, Clone)]
pub struct Administrator {
    /// The user.
    pub id: UserId,
    /// The password, where it was drawn: to be told once, it cannot be had again.
    pub drawn_password: Option<Password>,
}

/// The id of the stream that says whose an address is.
pub(crate) fn claim_of(sealer: &Sealer, email: &Email) -> String {
    sealer.digest("email", &email.normalized())
}

/// Registers a user under a fresh id, the `stream_id` of what was executed.
///
/// # Errors
/// `email-taken`, `overloaded`, and those of any command.
pub async fn register(
    store: &EventStore,
    passwords: &Passwords,
    mut context: CommandContext,
    new: NewUser,
) -> Result<Executed, Problem> {
    let hash = passwords.hash(&new.password).await?;
    let user_id = UserId::new(Uuid::now_v7());
    let key = store.sealer().new_key(&user_id.to_string());
    let streams = (
        Stream::<User>::beginning(user_id.to_string()),
        Stream::<EmailClaim>::new(claim_of(store.sealer(), &new.email)),
    );
    let register = Register {
        user_id,
        email: seal(&key, &new.email),
        name: seal(&key, &new.name),
        phone: new.phone.as_ref().map(|phone| seal(&key, phone)),
        role: new.role,
    };
    context.data_keys.push(key);
    credentials::insert(store.pool(), user_id, &hash)
        .await
        .map_err(of_database)?;
    let outcome = store
        .execute(streams, context, move |(user, claim)| {
            domain::user::register(user, claim, register.clone())
        })
        .await;
    if !may_count(&outcome, user_id) {
        // A row that is left behind belongs to nobody and opens nothing.
        if let Err(error) = credentials::delete(store.pool(), user_id).await {
            tracing::warn!(%error, %user_id, "the credentials of a user who was not registered stay behind");
        }
    }
    outcome.map_err(problem)
}

/// Whether this user is registered, or may be: not where it was refused, or was the repetition of an earlier one.
fn may_count(outcome: &Result<Executed, ExecuteError<Error>>, user_id: UserId) -> bool {
    match outcome {
        Ok(executed) => executed.stream_id == user_id.to_string(),
        Err(ExecuteError::OutcomeUnknown) => true,
        Err(_) => false,
    }
}

/// Makes an administrator, with a random password unless one is given.
///
/// # Errors
/// `email-taken`, and those of any command.
pub async fn create_administrator(
    store: &EventStore,
    email: Email,
    password: Option<Password>,
) -> Result<Administrator, Problem> {
    let drawn_password = password.is_none().then(Password::random);
    let new = NewUser {
        email,
        name: ADMINISTRATOR_NAME.parse().expect("it is a name"),
        phone: None,
        password: password
            .or_else(|| drawn_password.clone())
            .expect("given or drawn"),
        role: Role::Admin,
    };
    let context = CommandContext::new("register");
    let executed = register(store, &Passwords::default(), context, new).await?;
    Ok(Administrator {
        id: executed.stream_id.parse().map_err(Problem::internal)?,
        drawn_password,
    })
}

/// Changes what a user may do, from the next token on.
///
/// # Errors
/// `not-found`, `user-deactivated`, `user-erased`, and those of any command.
pub async fn assign_role(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
    role: Role,
) -> Result<Executed, Problem> {
    command(store, context, id, Command::AssignRole { role }).await
}

/// Closes an account for good and ends its sessions. Doing it again changes nothing.
///
/// # Errors
/// `not-found`, `user-erased`, and those of any command.
pub async fn deactivate(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
) -> Result<Executed, Problem> {
    let executed = command(store, context, id, Command::Deactivate).await?;
    // One that is left or is issued right now is refused at its next use, where the log is asked.
    refresh_tokens::end_all(store.pool(), id)
        .await
        .map_err(of_database)?;
    Ok(executed)
}

async fn command(
    store: &EventStore,
    context: CommandContext,
    id: UserId,
    command: Command,
) -> Result<Executed, Problem> {
    let stream = Stream::<User>::new(id.to_string());
    let outcome = store
        .execute(stream, context, move |user| user.decide(command.clone()))
        .await;
    outcome.map_err(problem)
}

fn problem(error: ExecuteError<Error>) -> Problem {
    execute::problem(error, refusal)
}

pub(crate) fn seal<T: AsRef<str>>(key: &DataKey, value: &T) -> Sealed<T> {
    Sealed::new(key.subject(), key.seal(value.as_ref().as_bytes()))
}

fn refusal(error: &Error) -> Problem {
    let detail = error.to_string();
    match error {
        Error::NotFound => Problem::not_found(detail),
        Error::AlreadyRegistered => Problem::from(problems::USER_EXISTS).detail(detail),
        Error::Deactivated => Problem::from(problems::USER_DEACTIVATED).detail(detail),
        Error::Erased => Problem::from(problems::USER_ERASED).detail(detail),
        Error::EmailTaken => Problem::from(problems::EMAIL_TAKEN).detail(detail),
        Error::EmailMoved => Problem::from(problems::USER_CHANGED).detail(detail),
        Error::TooManyAddresses => Problem::from(problems::TOO_MANY_ADDRESSES).detail(detail),
    }
}
