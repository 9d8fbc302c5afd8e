//! `/payments`: giving money back.

use axum::extract::State;
use domain::PaymentId;
use http_server::problem::ProblemDocument;
use http_server::{CommandAnswer, Ctx, Json, Path, Problem, Staff};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documented::{Changed, KeyedCommandHeaders};
use crate::execute::{Operation, answer};
use crate::member::Nothing;
use crate::{CommandApi, payments};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new().routes(routes!(refund))
}

const REFUND: Operation = Operation {
    name: "refund",
    route: "payments/{id}/refund",
};

/// Give the money of a payment back, once its order has ended.
///
/// The payment provider is asked afterwards; where it could not do it, asking again tries again.
#[utoipa::path(
    post, path = "/payments/{id}/refund", operation_id = "refundPayment", tag = "payments",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the payment"), KeyedCommandHeaders),
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (
            status = 409, description = "`order-in-progress`: cancel the order instead; `payment-not-completed`; `command-in-flight`",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn refund(
    State(api): State<CommandApi>,
    _: Staff,
    Path(id): Path<PaymentId>,
    ctx: Ctx,
    _: Option<Json<Nothing>>,
) -> Result<CommandAnswer, Problem> {
    ctx.required_idempotency_key()?;
    let context = api.context(&ctx, REFUND, &[&id.to_string()], &())?;
    let executed = payments::refund(&api.store, context, id).await?;
    Ok(answer(executed))
}
