//! `/inventory/{store_id}/{sku}`: stock, moved by hand.

use axum::extract::State;
use domain::stock::{ON_HAND_MAX, StockId};
use domain::{Quantity, Reason, Sku, StoreId};
use eventstore::Executed;
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{CommandAnswer, Ctx, Json, Path, Problem, Staff};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documented::{Began, Changed, KeyedCommandHeaders};
use crate::execute::{Operation, answer};
use crate::member::Member;
use crate::{API_PREFIX, CommandApi, inventory};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(receive))
        .routes(routes!(adjust))
}

const RECEIVE: Operation = Operation {
    name: "receive",
    route: "inventory/{store_id}/{sku}/receive",
};
const ADJUST: Operation = Operation {
    name: "adjust",
    route: "inventory/{store_id}/{sku}/adjust",
};

/// No correction is larger than what a store can have.
const DELTA_MAX: i64 = ON_HAND_MAX as i64;

/// Goods that arrived.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReceiveStock {
    /// Pieces.
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 24)]
    #[garde(dive)]
    quantity: Member<Quantity, i64>,
}

/// A correction of the count.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdjustStock {
    /// Pieces more, or fewer.
    #[schema(example = -2)]
    #[garde(range(min = -DELTA_MAX, max = DELTA_MAX))]
    delta: i64,
    /// Why, in words; kept in the log, so not the place for personal data.
    #[schema(value_type = String, max_length = 200, example = "two bottles broken")]
    #[garde(dive)]
    reason: Member<Reason>,
}

/// Receive goods into a store.
#[utoipa::path(
    post, path = "/inventory/{store_id}/{sku}/receive", operation_id = "receiveStock", tag = "inventory",
    security(("bearer" = [])),
    params(
        ("store_id" = String, Path, description = "the store", pattern = "^[a-z0-9-]{1,40}$"),
        ("sku" = String, Path, description = "the SKU; it need not be a product yet", pattern = "^[A-Za-z0-9._-]{1,64}$"),
        KeyedCommandHeaders,
    ),
    request_body = ReceiveStock,
    responses(
        Began, Changed,
        (status = 409, description = "`stock-limit-exceeded`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn receive(
    State(api): State<CommandApi>,
    _: Staff,
    Path((store_id, sku)): Path<(StoreId, Sku)>,
    ctx: Ctx,
    Json(body): Json<ReceiveStock>,
) -> Result<CommandAnswer, Problem> {
    ctx.required_idempotency_key()?;
    let id = StockId::new(store_id, sku);
    let context = api.context(&ctx, RECEIVE, &[&id.to_string()], &body)?;
    let executed =
        inventory::receive(&api.store, context, id.clone(), body.quantity.into_inner()).await?;
    Ok(moved(executed, &id))
}

/// Correct the count of a store.
#[utoipa::path(
    post, path = "/inventory/{store_id}/{sku}/adjust", operation_id = "adjustStock", tag = "inventory",
    security(("bearer" = [])),
    params(
        ("store_id" = String, Path, description = "the store", pattern = "^[a-z0-9-]{1,40}$"),
        ("sku" = String, Path, description = "the SKU; it need not be a product yet", pattern = "^[A-Za-z0-9._-]{1,64}$"),
        KeyedCommandHeaders,
    ),
    request_body = AdjustStock,
    responses(
        Began, Changed,
        (
            status = 409, description = "`insufficient-stock`, `stock-limit-exceeded`",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn adjust(
    State(api): State<CommandApi>,
    _: Staff,
    Path((store_id, sku)): Path<(StoreId, Sku)>,
    ctx: Ctx,
    Json(body): Json<AdjustStock>,
) -> Result<CommandAnswer, Problem> {
    ctx.required_idempotency_key()?;
    let id = StockId::new(store_id, sku);
    let context = api.context(&ctx, ADJUST, &[&id.to_string()], &body)?;
    let executed = inventory::adjust(
        &api.store,
        context,
        id.clone(),
        body.delta,
        body.reason.into_inner(),
    )
    .await?;
    Ok(moved(executed, &id))
}

/// The first movement begins a stock.
fn moved(executed: Executed, id: &StockId) -> CommandAnswer {
    let begins = executed.events > 0 && usize::try_from(executed.version) == Ok(executed.events);
    let answer = answer(executed);
    if !begins {
        return answer;
    }
    answer.created(format!("{API_PREFIX}/inventory/{}/{}", id.store_id, id.sku))
}
