//! From a request to a command's context, and from its outcome to an answer.

use std::time::Duration;

use axum::http::Method;
use eventstore::{CommandContext, CommandId, EventStore, ExecuteError, Executed, Sealer};
use http_server::{Caller, CommandAnswer, Ctx, Kind, Problem};
use serde::Serialize;
use uuid::Uuid;

use crate::{API_PREFIX, CommandApi};

/// How long the first outcome of an `Idempotency-Key` is kept where it left no event.
const OUTCOME_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What a client whose command is under way is told to wait.
const IN_FLIGHT_RETRY: Duration = Duration::from_secs(1);

/// A command as a route offers it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    /// In metrics.
    pub(crate) name: &'static str,
    /// Under [`API_PREFIX`]; part of what a key is compared by.
    pub(crate) route: &'static str,
}

impl CommandApi {
    /// What goes with a command that was asked for by this POST. `parameters` are those of the path; `body` is all
    /// that was asked, and nothing that is drawn anew for each request.
    pub(crate) fn context(
        &self,
        ctx: &Ctx,
        operation: Operation,
        parameters: &[&str],
        body: &impl Serialize,
    ) -> Result<CommandContext, Problem> {
        self.context_of(&Method::POST, ctx, operation, parameters, body)
    }

    /// As [`CommandApi::context`], by any method: a key that was used for one is not good for the other.
    pub(crate) fn context_of(
        &self,
        method: &Method,
        ctx: &Ctx,
        operation: Operation,
        parameters: &[&str],
        body: &impl Serialize,
    ) -> Result<CommandContext, Problem> {
        let command = match &ctx.idempotency_key {
            None => None,
            Some(key) => {
                let body = serde_json::to_vec(body).map_err(Problem::internal)?;
                let mut asked = vec![method.as_str().as_bytes(), operation.route.as_bytes()];
                asked.extend(parameters.iter().map(|parameter| parameter.as_bytes()));
                asked.push(&body);
                Some(command_id(
                    self.store.sealer(),
                    ctx.caller.as_ref(),
                    key,
                    &asked,
                ))
            }
        };
        Ok(CommandContext {
            command,
            expected_version: ctx.expected_version,
            correlation_id: Some(ctx.correlation_id.to_string()),
            user_id: ctx.caller.as_ref().map(|caller| caller.user_id.clone()),
            traceparent: Some(ctx.traceparent()),
            deadline: ctx.deadline.into(),
            ..CommandContext::new(operation.name)
        })
    }
}

/// A key belongs to its principal; where there is none, to what was asked, so that strangers do not share keys.
fn command_id(sealer: &Sealer, caller: Option<&Caller>, key: &str, asked: &[&[u8]]) -> CommandId {
    let fingerprint = sealer.fingerprint(&[&[b"request".as_slice()], asked].concat());
    let scope: [&[u8]; 2] = match caller {
        Some(caller) => [b"principal", caller.user_id.as_bytes()],
        None => [b"anonymous", &fingerprint],
    };
    let id = sealer.fingerprint(&[b"idempotency-key", scope[0], scope[1], key.as_bytes()]);
    CommandId {
        id: first_16_bytes(&id),
        fingerprint,
        expires_after: Some(OUTCOME_KEPT),
        wait_if_in_flight: false,
    }
}

/// The context of a command that the program gives itself, as on seeding: the same `scope` and `id` happen once, however
/// often they are asked for, even if what is asked for differs.
#[must_use]
pub fn derived_context(
    store: &EventStore,
    name: &'static str,
    scope: &str,
    id: &str,
) -> CommandContext {
    store.derived_context(name, scope, id)
}

fn first_16_bytes(digest: &[u8]) -> Uuid {
    Uuid::from_slice(&digest[..16]).expect("16 bytes are a UUID")
}

/// How an outcome that is no success reads; `refusal` is the table of the aggregate's own.
pub(crate) fn problem<E>(error: ExecuteError<E>, refusal: impl FnOnce(&E) -> Problem) -> Problem {
    match error {
        ExecuteError::Refused { error, replayed } => refusal(&error).replayed(replayed),
        ExecuteError::VersionMismatch {
            expected,
            actual,
            replayed,
        } => Problem::version_mismatch(expected, actual).replayed(replayed),
        ExecuteError::KeyReused => Problem::from(Kind::IDEMPOTENCY_KEY_REUSED),
        ExecuteError::InFlight => {
            Problem::from(Kind::COMMAND_IN_FLIGHT).retry_after(IN_FLIGHT_RETRY)
        }
        ExecuteError::Overloaded => Problem::overloaded(),
        ExecuteError::OutcomeUnknown => Problem::outcome_unknown(),
        ExecuteError::Invalid(reason) => Problem::bad_request(reason),
        ExecuteError::Corrupt(reason) => Problem::internal(reason),
        ExecuteError::Closed => Problem::overloaded().detail("the server is shutting down"),
    }
}

/// The answer of a command on something that there was before.
pub(crate) fn answer(executed: Executed) -> CommandAnswer {
    CommandAnswer::new(executed.stream_id, executed.version, executed.position)
        .replayed(executed.replayed)
}

/// The answer of a command that begins `<collection>/<id>`.
pub(crate) fn created(executed: Executed, collection: &str) -> CommandAnswer {
    let location = format!("{API_PREFIX}/{collection}/{}", executed.stream_id);
    answer(executed).created(location)
}
