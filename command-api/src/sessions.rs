//! Logging in and staying so. An access token is short-lived and asks nobody; a refresh token is exchanged for the next
//! pair, and there the log is asked what the user is and may now.

use chrono::Utc;
use domain::{Email, EmailClaim, Role, User, UserId};
use eventstore::EventStore;
use http_server::Problem;
use http_server::token::TOKEN_LIFETIME;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problems::{invalid_credentials, of_database};
use crate::refresh_tokens::{self, Presented};
use crate::{CommandApi, credentials, users};

/// A log-in, or its continuation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// Seconds that the access token is good for.
    #[schema(example = 900)]
    pub expires_in: u64,
    /// For `users/token/refresh`, once, within 30 days.
    pub refresh_token: String,
}

/// Logs a user in. An unknown address, a wrong password and a deactivated account read the same and take as long.
///
/// # Errors
/// `invalid-credentials`, `too-many-requests` after too many wrong passwords, `overloaded`.
pub async fn login(api: &CommandApi, email: &Email, password: &str) -> Result<Session, Problem> {
    let account = users::claim_of(api.store.sealer(), email);
    api.attempts.begin(&account)?;
    let session = verified(api, &account, password).await;
    let wrong_password = matches!(session, Ok(None));
    if !wrong_password {
        api.attempts.give_back(&account);
    }
    session?.ok_or_else(|| invalid_credentials("the e-mail address or the password is wrong"))
}

async fn verified(
    api: &CommandApi,
    account: &str,
    password: &str,
) -> Result<Option<Session>, Problem> {
    let claim = api.store.state_at::<EmailClaim>(account, None).await?;
    let holder = claim.and_then(|(claim, _)| claim.holder());
    // Who is nobody is looked up all the same: the same questions take the same time.
    let user = holder.unwrap_or(UserId::new(Uuid::nil()));
    let role = active_role(&api.store, user).await?;
    let hash = credentials::find(api.store.pool(), user)
        .await
        .map_err(of_database)?;
    let matches = api.passwords.matches(password, hash.as_deref()).await?;
    let (true, Some(role), Some(hash)) = (matches, role, hash) else {
        return Ok(None);
    };
    let token = refresh_tokens::begin_family(api.store.pool(), user, &hash)
        .await
        .map_err(of_database)?;
    Ok(token.map(|token| session(api, user, role, token)))
}

/// Exchanges a refresh token for the next session of its family, with the role that the user has now.
///
/// # Errors
/// `invalid-credentials` where the token is void, unknown or was used before (which ends its family), or the user is
/// deactivated.
pub async fn refresh(api: &CommandApi, refresh_token: &str) -> Result<Session, Problem> {
    let refused = || invalid_credentials("the refresh token is not valid any more");
    let token = Presented::new(refresh_token).ok_or_else(refused)?;
    let pool = api.store.pool();
    let user = refresh_tokens::holder(pool, token)
        .await
        .map_err(of_database)?
        .ok_or_else(refused)?;
    let Some(role) = active_role(&api.store, user).await? else {
        refresh_tokens::end_all(pool, user)
            .await
            .map_err(of_database)?;
        return Err(refused());
    };
    let next = refresh_tokens::rotate(pool, user, token)
        .await
        .map_err(of_database)?;
    next.map(|next| session(api, user, role, next))
        .ok_or_else(refused)
}

/// Ends the session that a refresh token belongs to. One that is not the user's is left alone; one that is gone is fine.
///
/// # Errors
/// Those of the database.
pub async fn logout(api: &CommandApi, user: UserId, refresh_token: &str) -> Result<(), Problem> {
    let Some(token) = Presented::new(refresh_token) else {
        return Ok(());
    };
    refresh_tokens::end_family(api.store.pool(), user, token)
        .await
        .map_err(of_database)
}

async fn active_role(store: &EventStore, user: UserId) -> Result<Option<Role>, Problem> {
    let state = store.state_at::<User>(&user.to_string(), None).await?;
    Ok(state.and_then(|(user, _)| user.active_role()))
}

fn session(api: &CommandApi, user: UserId, role: Role, refresh_token: String) -> Session {
    let role = match role {
        Role::Customer => http_server::Role::Customer,
        Role::Courier => http_server::Role::Courier,
        Role::Staff => http_server::Role::Staff,
        Role::Admin => http_server::Role::Admin,
    };
    Session {
        access_token: api
            .signer
            .sign(&user.to_string(), role, TOKEN_LIFETIME, Utc::now()),
        token_type: "Bearer".to_owned(),
        expires_in: TOKEN_LIFETIME.as_secs(),
        refresh_token,
    }
}
