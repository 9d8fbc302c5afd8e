//! `/users/{id}/update-profile`, `/addresses`, `/notification-preferences`: what users say of themselves, and nobody else does.

use axum::extract::State;
use axum::http::Method;
use domain::{Channels, Email, NotificationPreferences, PersonName, PhoneNumber, UserId};
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{Caller, CommandAnswer, Ctx, Json, Path, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::address::AddressDocument;
use super::super::documented::{Changed, CommandHeaders};
use super::own;
use crate::CommandApi;
use crate::execute::{Operation, answer};
use crate::member::{Member, present};
use crate::users::{self, ProfileUpdate};

pub(super) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(update_profile))
        .routes(routes!(add_address))
        .routes(routes!(change_preferences))
}

const UPDATE_PROFILE: Operation = Operation {
    name: "update-profile",
    route: "users/{id}/update-profile",
};
const ADD_ADDRESS: Operation = Operation {
    name: "add-address",
    route: "users/{id}/addresses",
};
const CHANGE_PREFERENCES: Operation = Operation {
    name: "change-preferences",
    route: "users/{id}/notification-preferences",
};

/// What changes: absent members stay as they are, `null` takes the number away.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateProfile {
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = String, required = false, max_length = 200)]
    #[garde(dive)]
    name: Option<Member<PersonName>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>)]
    #[garde(dive)]
    phone: Option<Option<Member<PhoneNumber>>>,
    /// Another address, which no other user has: it logs in from now on, and the one before is free.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = String, required = false, format = "email", max_length = 254)]
    #[garde(dive)]
    email: Option<Member<Email>>,
}

impl From<UpdateProfile> for ProfileUpdate {
    fn from(body: UpdateProfile) -> Self {
        Self {
            name: body.name.map(Member::into_inner),
            phone: body.phone.map(|phone| phone.map(Member::into_inner)),
            email: body.email.map(Member::into_inner),
        }
    }
}

/// Of what one wants to be told, and how: all of it, in the place of what was.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePreferences {
    /// An order is arranged, cancelled or returned.
    #[garde(dive)]
    order: ChosenChannels,
    /// A payment is taken, refused or given back.
    #[garde(dive)]
    payment: ChosenChannels,
    /// A delivery is scheduled, on its way, done or failed.
    #[garde(dive)]
    delivery: ChosenChannels,
    /// The account itself changes.
    #[garde(dive)]
    account: ChosenChannels,
}

/// By which channels.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChosenChannels {
    #[garde(skip)]
    email: bool,
    #[garde(skip)]
    webhook: bool,
    #[garde(skip)]
    log: bool,
}

impl From<ChosenChannels> for Channels {
    fn from(chosen: ChosenChannels) -> Self {
        Self {
            email: chosen.email,
            webhook: chosen.webhook,
            log: chosen.log,
        }
    }
}

impl From<ChangePreferences> for NotificationPreferences {
    fn from(body: ChangePreferences) -> Self {
        Self {
            order: body.order.into(),
            payment: body.payment.into(),
            delivery: body.delivery.into(),
            account: body.account.into(),
        }
    }
}

/// Change one's name, number or e-mail address.
#[utoipa::path(
    post, path = "/users/{id}/update-profile", operation_id = "updateProfile", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "oneself"), CommandHeaders),
    request_body = UpdateProfile,
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`email-taken`, `user-deactivated`, `user-erased`, `user-changed`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn update_profile(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<UserId>,
    ctx: Ctx,
    Json(body): Json<UpdateProfile>,
) -> Result<CommandAnswer, Problem> {
    own(&caller, id)?;
    let context = api.context(&ctx, UPDATE_PROFILE, &[&id.to_string()], &body)?;
    let executed = users::update_profile(&api.store, context, id, body.into()).await?;
    Ok(answer(executed))
}

/// Add a delivery address; at most 20 are kept.
#[utoipa::path(
    post, path = "/users/{id}/addresses", operation_id = "addAddress", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "oneself"), CommandHeaders),
    request_body = AddressDocument,
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`too-many-addresses`, `user-deactivated`, `user-erased`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn add_address(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<UserId>,
    ctx: Ctx,
    Json(body): Json<AddressDocument>,
) -> Result<CommandAnswer, Problem> {
    own(&caller, id)?;
    let context = api.context(&ctx, ADD_ADDRESS, &[&id.to_string()], &body)?;
    let executed = users::add_address(&api.store, context, id, &body.into()).await?;
    Ok(answer(executed))
}

/// Say of what one wants to be told, and how.
#[utoipa::path(
    put, path = "/users/{id}/notification-preferences", operation_id = "changeNotificationPreferences", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "oneself"), CommandHeaders),
    request_body = ChangePreferences,
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`user-deactivated`, `user-erased`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn change_preferences(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<UserId>,
    ctx: Ctx,
    Json(body): Json<ChangePreferences>,
) -> Result<CommandAnswer, Problem> {
    own(&caller, id)?;
    let parameters = [&*id.to_string()];
    let context = api.context_of(&Method::PUT, &ctx, CHANGE_PREFERENCES, &parameters, &body)?;
    let executed = users::change_preferences(&api.store, context, id, body.into()).await?;
    Ok(answer(executed))
}
