//! `/users/login`, `/users/token/refresh`, `/users/logout`, and the keys that tokens are checked by. An
//! `Idempotency-Key` means nothing here.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use domain::{Email, UserId};
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::token::Jwks;
use http_server::{Caller, Json, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::CommandApi;
use crate::member::Member;
use crate::sessions::{self, Session};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
}

pub(crate) fn well_known() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new().routes(routes!(jwks))
}

/// Tokens are nobody's to keep on the way.
const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
/// A new key is in use at the earliest this long after it was published.
const PUBLIC_KEYS_CACHED: (HeaderName, &str) = (header::CACHE_CONTROL, "public, max-age=300");

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    #[schema(value_type = String, format = "email", example = "ada@example.org")]
    #[garde(dive)]
    email: Member<Email>,
    #[schema(format = "password")]
    #[garde(skip)]
    password: String,
}

#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    #[garde(skip)]
    refresh_token: String,
}

/// Log in.
#[utoipa::path(
    post, path = "/users/login", operation_id = "login", tag = "users",
    request_body = LogIn,
    responses(
        (status = 200, description = "logged in", body = Session),
        (status = 401, description = "`invalid-credentials`", body = ProblemDocument, content_type = "application/problem+json"),
        (
            status = 429, description = "`too-many-requests`: too many wrong passwords for this account",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn login(
    State(api): State<CommandApi>,
    Json(body): Json<LogIn>,
) -> Result<([(HeaderName, &'static str); 1], Json<Session>), Problem> {
    let session = sessions::login(&api, &body.email.into_inner(), &body.password).await?;
    Ok(([NO_STORE], Json(session)))
}

/// Exchange a refresh token, which works once, for the next session.
#[utoipa::path(
    post, path = "/users/token/refresh", operation_id = "refreshToken", tag = "users",
    request_body = RefreshToken,
    responses(
        (status = 200, description = "still logged in, with the role of now", body = Session),
        (
            status = 401, description = "`invalid-credentials`; where the token was used before, the session is ended",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn refresh(
    State(api): State<CommandApi>,
    Json(body): Json<RefreshToken>,
) -> Result<([(HeaderName, &'static str); 1], Json<Session>), Problem> {
    let session = sessions::refresh(&api, &body.refresh_token).await?;
    Ok(([NO_STORE], Json(session)))
}

/// End the session of a refresh token.
#[utoipa::path(
    post, path = "/users/logout", operation_id = "logout", tag = "users", security(("bearer" = [])),
    request_body = RefreshToken,
    responses((status = 204, description = "the session is ended, or was")),
)]
async fn logout(
    State(api): State<CommandApi>,
    caller: Caller,
    Json(body): Json<RefreshToken>,
) -> Result<StatusCode, Problem> {
    let user: UserId = caller.user_id.parse().map_err(Problem::internal)?;
    sessions::logout(&api, user, &body.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The public keys of access tokens (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "jwks", tag = "users",
    responses((status = 200, description = "the key set", body = serde_json::Value)),
)]
async fn jwks(State(api): State<CommandApi>) -> ([(HeaderName, &'static str); 1], Json<Jwks>) {
    (
        [PUBLIC_KEYS_CACHED],
        Json(Jwks::new([api.signer.public_key()])),
    )
}
