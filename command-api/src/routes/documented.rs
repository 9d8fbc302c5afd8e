//! What the document says of every command alike.

use http_server::answer::CommandBody;
use utoipa::{IntoParams, IntoResponses};

/// Headers that every command takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the document only; handlers take a `Ctx`")]
pub(super) struct CommandHeaders {
    /// Makes the request safe to repeat: the first outcome is told again, with `Idempotent-Replayed: true`. 1 to 200
    /// printable ASCII characters; kept for at least 7 days.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        pattern = "^[ -~]+$"
    )]
    idempotency_key: Option<String>,
    /// The version that it must have, in quotes; else 412 `version-mismatch`.
    #[param(rename = "If-Match", pattern = "^\"[0-9]{1,18}\"$", example = "\"3\"")]
    if_match: Option<String>,
    /// A UUID that every effect of the request carries; without it one is drawn.
    #[param(rename = "Nakku-Correlation-Id")]
    correlation_id: Option<uuid::Uuid>,
}

/// As [`CommandHeaders`], for commands that are not safe without a key.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the document only; handlers take a `Ctx`")]
pub(super) struct KeyedCommandHeaders {
    /// Required. Makes the request safe to repeat: the first outcome is told again, with `Idempotent-Replayed: true`.
    /// 1 to 200 printable ASCII characters; kept for at least 7 days.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        pattern = "^[ -~]+$"
    )]
    idempotency_key: String,
    /// The version that it must have, in quotes; else 412 `version-mismatch`.
    #[param(rename = "If-Match", pattern = "^\"[0-9]{1,18}\"$", example = "\"3\"")]
    if_match: Option<String>,
    /// A UUID that every effect of the request carries; without it one is drawn.
    #[param(rename = "Nakku-Correlation-Id")]
    correlation_id: Option<uuid::Uuid>,
}

/// The command took effect, or needed none.
#[derive(IntoResponses)]
#[response(
    status = 200,
    headers(
        ("ETag" = String, description = "the version in quotes, for `If-Match`"),
        ("Nakku-Position" = String, description = "for `Nakku-Min-Position` of queries that must see the effect"),
        ("Idempotent-Replayed" = String, description = "`true` on the answer of an earlier request with the same key"),
    )
)]
#[expect(
    dead_code,
    reason = "read by the document only; handlers answer a `CommandAnswer`"
)]
pub(super) struct Changed(CommandBody);

/// It begins with this command.
#[derive(IntoResponses)]
#[response(
    status = 201,
    headers(
        ("Location" = String, description = "where it can be read from now on"),
        ("ETag" = String, description = "the version in quotes, for `If-Match`"),
        ("Nakku-Position" = String, description = "for `Nakku-Min-Position` of queries that must see the effect"),
        ("Idempotent-Replayed" = String, description = "`true` on the answer of an earlier request with the same key"),
    )
)]
#[expect(
    dead_code,
    reason = "read by the document only; handlers answer a `CommandAnswer`"
)]
pub(super) struct Began(CommandBody);

/// The preference of a request that would rather have the end than the beginning.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "read by the document only; handlers take a `Ctx`")]
pub(super) struct Preference {
    /// `wait=N`: answer when the order has ended or halts, or after N seconds, at most 30. Anything else is ignored.
    #[param(rename = "Prefer", example = "wait=10")]
    prefer: Option<String>,
}
