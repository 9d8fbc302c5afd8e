//! `/deliveries`: bringing orders to their customers, and how many of them a store can bring.

use axum::extract::State;
use axum::http::Method;
use domain::capacity::PER_HOUR_MAX;
use domain::{DeliveryId, Reason, StoreId, UserId};
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{Caller, CommandAnswer, Courier, Ctx, Json, Path, Problem, Role, Staff};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::documented::{Changed, CommandHeaders};
use crate::CommandApi;
use crate::deliveries::{self, Actor};
use crate::elsewhere::Asking;
use crate::execute::{Operation, answer};
use crate::member::{Member, Nothing};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(assign))
        .routes(routes!(pick_up))
        .routes(routes!(deliver))
        .routes(routes!(fail))
        .routes(routes!(change_capacity))
}

const ASSIGN: Operation = Operation {
    name: "assign",
    route: "deliveries/{id}/assign",
};
const PICK_UP: Operation = Operation {
    name: "pick-up",
    route: "deliveries/{id}/pick-up",
};
const DELIVER: Operation = Operation {
    name: "deliver",
    route: "deliveries/{id}/deliver",
};
const FAIL: Operation = Operation {
    name: "fail",
    route: "deliveries/{id}/fail",
};
const CHANGE_CAPACITY: Operation = Operation {
    name: "change",
    route: "deliveries/stores/{store_id}/capacity",
};

/// Who brings it.
#[derive(Debug, Default, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssignDelivery {
    /// A user with the role of a courier or more; without one, the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(skip)]
    courier_id: Option<Uuid>,
}

/// Why it could not be handed over.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct FailDelivery {
    /// In words; kept in the log, so not the place for personal data.
    #[schema(value_type = String, max_length = 200, example = "nobody at home")]
    #[garde(dive)]
    reason: Member<Reason>,
    /// Whether nobody will try again: then the order is returned and its money given back.
    #[serde(rename = "final")]
    #[garde(skip)]
    is_final: bool,
}

/// How many deliveries a store makes.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeCapacity {
    /// In an hour; 1,000 for a store that never said otherwise.
    #[schema(minimum = 0, maximum = 100_000, example = 120)]
    #[garde(range(max = PER_HOUR_MAX))]
    per_hour: u32,
}

fn user_id(caller: &Caller) -> Result<UserId, Problem> {
    caller.user_id.parse().map_err(Problem::internal)
}

fn actor(caller: &Caller) -> Result<Actor, Problem> {
    match caller.role.may(Role::Staff) {
        true => Ok(Actor::Staff),
        false => user_id(caller).map(Actor::Courier),
    }
}

/// Have a courier bring it: as staff any, as a courier oneself.
#[utoipa::path(
    post, path = "/deliveries/{id}/assign", operation_id = "assignDelivery", tag = "deliveries",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the delivery"), CommandHeaders),
    // `Option<AssignDelivery>` would say that `null` is one, too.
    request_body(content = ref("#/components/schemas/AssignDelivery"), content_type = "application/json"),
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (
            status = 409, description = "`delivery-out-of-turn`, `delivery-taken`, `command-in-flight`",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
        (
            status = 422,
            description = "`courier-not-active`; `invalid-body`, with each wrong member in `errors`; `idempotency-key-reused`",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn assign(
    State(api): State<CommandApi>,
    Courier(caller): Courier,
    Path(id): Path<DeliveryId>,
    ctx: Ctx,
    body: Option<Json<AssignDelivery>>,
) -> Result<CommandAnswer, Problem> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let actor = actor(&caller)?;
    let oneself = user_id(&caller)?;
    let courier_id = body.courier_id.map_or(oneself, UserId::new);
    if matches!(actor, Actor::Courier(_)) && courier_id != oneself {
        return Err(Problem::forbidden("couriers assign nobody but themselves"));
    }
    let context = api.context(&ctx, ASSIGN, &[&id.to_string()], &body)?;
    let executed =
        deliveries::assign(&api, context, id, courier_id, actor, Asking::of(&ctx)).await?;
    Ok(answer(executed))
}

/// Record that the courier has it.
#[utoipa::path(
    post, path = "/deliveries/{id}/pick-up", operation_id = "pickUpDelivery", tag = "deliveries",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the delivery; as a courier one's own"), CommandHeaders),
    responses(
        Changed,
        (status = 404, description = "`not-found`, also for another courier's", body = ProblemDocument, content_type = "application/problem+json"),
        (
            status = 409, description = "`delivery-out-of-turn`, `order-in-progress`: it is not completed yet; `command-in-flight`",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn pick_up(
    State(api): State<CommandApi>,
    Courier(caller): Courier,
    Path(id): Path<DeliveryId>,
    ctx: Ctx,
    _: Option<Json<Nothing>>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, PICK_UP, &[&id.to_string()], &())?;
    let actor = actor(&caller)?;
    let executed = deliveries::pick_up(&api.store, context, id, actor).await?;
    Ok(answer(executed))
}

/// Record that the customer has it.
#[utoipa::path(
    post, path = "/deliveries/{id}/deliver", operation_id = "completeDelivery", tag = "deliveries",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the delivery; as a courier one's own"), CommandHeaders),
    responses(
        Changed,
        (status = 404, description = "`not-found`, also for another courier's", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`delivery-out-of-turn`, `command-in-flight`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn deliver(
    State(api): State<CommandApi>,
    Courier(caller): Courier,
    Path(id): Path<DeliveryId>,
    ctx: Ctx,
    _: Option<Json<Nothing>>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, DELIVER, &[&id.to_string()], &())?;
    let actor = actor(&caller)?;
    let executed = deliveries::deliver(&api.store, context, id, actor).await?;
    Ok(answer(executed))
}

/// Record that it could not be handed over. Unless that is final, it is to be assigned again.
#[utoipa::path(
    post, path = "/deliveries/{id}/fail", operation_id = "failDelivery", tag = "deliveries",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the delivery; as a courier one's own"), CommandHeaders),
    request_body = FailDelivery,
    responses(
        Changed,
        (status = 404, description = "`not-found`, also for another courier's", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`delivery-out-of-turn`, `command-in-flight`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn fail(
    State(api): State<CommandApi>,
    Courier(caller): Courier,
    Path(id): Path<DeliveryId>,
    ctx: Ctx,
    Json(body): Json<FailDelivery>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, FAIL, &[&id.to_string()], &body)?;
    let actor = actor(&caller)?;
    let (reason, is_final) = (body.reason.into_inner(), body.is_final);
    let executed = deliveries::fail(&api.store, context, id, actor, reason, is_final).await?;
    Ok(answer(executed))
}

/// Say how many deliveries a store makes in an hour from now on. What is booked stays booked.
#[utoipa::path(
    put, path = "/deliveries/stores/{store_id}/capacity", operation_id = "changeCapacity", tag = "deliveries",
    security(("bearer" = [])),
    params(("store_id" = String, Path, description = "the store", pattern = "^[a-z0-9-]{1,40}$"), CommandHeaders),
    request_body = ChangeCapacity,
    responses(Changed),
)]
async fn change_capacity(
    State(api): State<CommandApi>,
    _: Staff,
    Path(store_id): Path<StoreId>,
    ctx: Ctx,
    Json(body): Json<ChangeCapacity>,
) -> Result<CommandAnswer, Problem> {
    let parameters = [store_id.as_str()];
    let context = api.context_of(&Method::PUT, &ctx, CHANGE_CAPACITY, &parameters, &body)?;
    let per_hour = body.per_hour;
    let executed = deliveries::change_capacity(&api.store, context, store_id, per_hour).await?;
    Ok(answer(executed))
}
