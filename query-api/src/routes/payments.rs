//! `payments`: what was charged and given back. A customer sees their own; those of others do not exist.

use axum::extract::State;
use http_server::{Caller, MinPosition, Path, Problem, Role};
use read_models::payments::{self, Payment};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::{Answer, IfNoneMatch};
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(by_id))
}

/// One payment: the caller's own, or anyone's for staff. What it was paid with is not shown.
#[utoipa::path(
    get, path = "/payments/{id}", tag = "payments", operation_id = "get_payment",
    params(("id" = String, Path, description = "the payment's id, as its order names it"), ReadYourWrites),
    responses((status = 200, body = Payment), (status = 304, description = "`If-None-Match` names this version")),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<QueryApi>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: MinPosition,
    known: IfNoneMatch,
) -> Result<Answer<Payment>, Problem> {
    let live = api.live(payments::NAME, &wanted).await?;
    let found = payments::by_id(&api.pool, live.generation, &id).await;
    let is_visible = |payment: &Payment| {
        payment.customer_id.as_ref() == Some(&caller.user_id) || caller.role.may(Role::Staff)
    };
    let payment = found.map_err(database)?.filter(is_visible);
    let payment = payment.ok_or_else(|| Problem::not_found(format!("there is no payment {id}")))?;
    Ok(Answer::versioned(
        live.position,
        payment.version,
        payment,
        &known,
    ))
}
