//! `/users`: accounts. What users say of themselves is in `profile`, their password in `password`.

mod password;
mod profile;

use axum::extract::State;
use domain::{Email, PersonName, PhoneNumber, Role, UserId};
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{Admin, Caller, CommandAnswer, Ctx, Json, Path, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documented::{Began, Changed, CommandHeaders};
use crate::CommandApi;
use crate::execute::{Operation, answer, created};
use crate::member::{Member, Nothing};
use crate::password::Password;
use crate::users::{self, NewUser};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .merge(profile::router())
        .merge(password::router())
        .routes(routes!(deactivate))
        .routes(routes!(erase))
        .routes(routes!(assign_role))
}

const REGISTER: Operation = Operation {
    name: "register",
    route: "users/register",
};
const DEACTIVATE: Operation = Operation {
    name: "deactivate",
    route: "users/{id}/deactivate",
};
const ERASE: Operation = Operation {
    name: "erase",
    route: "users/{id}/erase",
};
const ASSIGN_ROLE: Operation = Operation {
    name: "assign-role",
    route: "users/{id}/assign-role",
};

/// Somebody who wants an account.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterUser {
    /// No other user's.
    #[schema(value_type = String, format = "email", max_length = 254, example = "ada@example.org")]
    #[garde(dive)]
    email: Member<Email>,
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 200)]
    #[garde(dive)]
    password: Member<Password>,
    #[schema(value_type = String, max_length = 200, example = "Ada Lovelace")]
    #[garde(dive)]
    name: Member<PersonName>,
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "+49 30 123456")]
    #[garde(dive)]
    phone: Option<Member<PhoneNumber>>,
}

impl From<RegisterUser> for NewUser {
    fn from(body: RegisterUser) -> Self {
        Self {
            email: body.email.into_inner(),
            name: body.name.into_inner(),
            phone: body.phone.map(Member::into_inner),
            password: body.password.into_inner(),
            role: Role::Customer,
        }
    }
}

/// What is asked by a registration, with something in the password's place that may go into a digest.
#[derive(Serialize)]
struct AskedRegistration<'a> {
    email: &'a Email,
    name: &'a PersonName,
    phone: &'a Option<PhoneNumber>,
    password: Option<String>,
}

/// What a user may do.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AssignRole {
    #[schema(value_type = http_server::Role)]
    #[garde(skip)]
    role: Role,
}

/// Register.
#[utoipa::path(
    post, path = "/users/register", operation_id = "registerUser", tag = "users",
    params(CommandHeaders),
    request_body = RegisterUser,
    responses(
        Began,
        (status = 409, description = "`email-taken`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn register(
    State(api): State<CommandApi>,
    ctx: Ctx,
    Json(body): Json<RegisterUser>,
) -> Result<CommandAnswer, Problem> {
    let new = NewUser::from(body);
    let asked = AskedRegistration {
        email: &new.email,
        name: &new.name,
        phone: &new.phone,
        password: api
            .asked_password(&ctx, &new.email.normalized(), new.password.as_str())
            .await?,
    };
    let context = api.context(&ctx, REGISTER, &[], &asked)?;
    let executed = users::register(&api.store, &api.passwords, context, new).await?;
    Ok(created(executed, "users"))
}

/// Close an account for good: one's own, or as an administrator any.
#[utoipa::path(
    post, path = "/users/{id}/deactivate", operation_id = "deactivateUser", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "oneself; for administrators anybody"), CommandHeaders),
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`user-erased`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn deactivate(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<UserId>,
    ctx: Ctx,
    _: Option<Json<Nothing>>,
) -> Result<CommandAnswer, Problem> {
    own_or_admin(&caller, id)?;
    let context = api.context(&ctx, DEACTIVATE, &[&id.to_string()], &())?;
    let executed = users::deactivate(&api.store, context, id).await?;
    Ok(answer(executed))
}

/// Erase somebody for good: oneself, or as an administrator anybody. Nobody can read the personal fields any more, and the
/// e-mail address is free.
#[utoipa::path(
    post, path = "/users/{id}/erase", operation_id = "eraseUser", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "oneself; for administrators anybody"), CommandHeaders),
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`user-changed`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn erase(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<UserId>,
    ctx: Ctx,
    _: Option<Json<Nothing>>,
) -> Result<CommandAnswer, Problem> {
    own_or_admin(&caller, id)?;
    let context = api.context(&ctx, ERASE, &[&id.to_string()], &())?;
    let executed = users::erase(&api.store, context, id).await?;
    Ok(answer(executed))
}

/// Change what a user may do, from the next token on.
#[utoipa::path(
    post, path = "/users/{id}/assign-role", operation_id = "assignRole", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the user"), CommandHeaders),
    request_body = AssignRole,
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`user-deactivated`, `user-erased`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn assign_role(
    State(api): State<CommandApi>,
    _: Admin,
    Path(id): Path<UserId>,
    ctx: Ctx,
    Json(body): Json<AssignRole>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, ASSIGN_ROLE, &[&id.to_string()], &body)?;
    let executed = users::assign_role(&api.store, context, id, body.role).await?;
    Ok(answer(executed))
}

/// Others are not there.
fn own(caller: &Caller, id: UserId) -> Result<(), Problem> {
    if caller.user_id == id.to_string() {
        return Ok(());
    }
    Err(Problem::not_found("user does not exist"))
}

fn own_or_admin(caller: &Caller, id: UserId) -> Result<(), Problem> {
    if caller.role.may(http_server::Role::Admin) {
        return Ok(());
    }
    own(caller, id)
}
