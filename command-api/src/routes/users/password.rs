//! `/users/{id}/change-password`, and how a password goes into the digest of what is asked.

use axum::extract::State;
use domain::UserId;
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{Caller, CommandAnswer, Ctx, Json, Path, Problem};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::documented::{Changed, CommandHeaders};
use super::own;
use crate::CommandApi;
use crate::execute::{Operation, answer};
use crate::member::Member;
use crate::password::Password;
use crate::users;

pub(super) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new().routes(routes!(change_password))
}

const CHANGE_PASSWORD: Operation = Operation {
    name: "change-password",
    route: "users/{id}/change-password",
};

/// The password one has, and the one that is to be.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    #[schema(format = "password")]
    #[garde(skip)]
    current_password: String,
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 200)]
    #[garde(dive)]
    new_password: Member<Password>,
}

/// Change one's password, which ends all sessions.
#[utoipa::path(
    post, path = "/users/{id}/change-password", operation_id = "changePassword", tag = "users",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "oneself"), CommandHeaders),
    request_body = ChangePassword,
    responses(
        Changed,
        (status = 401, description = "`invalid-credentials`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`user-deactivated`, `user-erased`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn change_password(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<UserId>,
    ctx: Ctx,
    Json(body): Json<ChangePassword>,
) -> Result<CommandAnswer, Problem> {
    own(&caller, id)?;
    let subject = id.to_string();
    let new = body.new_password.into_inner();
    let asked = [
        api.asked_password(&ctx, &subject, &body.current_password)
            .await?,
        api.asked_password(&ctx, &subject, new.as_str()).await?,
    ];
    let context = api.context(&ctx, CHANGE_PASSWORD, &[&subject], &asked)?;
    let executed = users::change_password(&api, context, id, &body.current_password, &new).await?;
    Ok(answer(executed))
}

impl CommandApi {
    /// What stands for a password in the digest of what is asked; nothing where there is no key, hence no digest.
    pub(super) async fn asked_password(
        &self,
        ctx: &Ctx,
        subject: &str,
        password: &str,
    ) -> Result<Option<String>, Problem> {
        if ctx.idempotency_key.is_none() {
            return Ok(None);
        }
        self.passwords
            .stretched(self.store.sealer(), subject, password)
            .await
            .map(Some)
    }
}
