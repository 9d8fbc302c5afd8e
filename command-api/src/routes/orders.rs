//! `/orders`: buying, and changing one's mind.

use std::time::Duration;

use axum::extract::State;
use domain::order::{ITEMS_MAX, Wanted};
use domain::{Address, OrderId, PaymentToken, Quantity, Reason, Sku, StoreId, UserId};
use eventstore::Executed;
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{Caller, CommandAnswer, Ctx, Json, Path, Problem, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::address::AddressDocument;
use super::documented::{CommandHeaders, KeyedCommandHeaders, Preference};
use crate::elsewhere::Asking;
use crate::execute::{Operation, answer};
use crate::member::Member;
use crate::orders::{self, NewOrder, Progress};
use crate::{API_PREFIX, CommandApi};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(place))
        .routes(routes!(cancel))
}

const PLACE: Operation = Operation {
    name: "place",
    route: "orders",
};
const CANCEL: Operation = Operation {
    name: "cancel",
    route: "orders/{id}/cancel",
};

/// What a customer buys.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "store_id": "store-1", "items": [{"sku": "AB-BEE-001", "quantity": 6}], "payment": {"token": "tok_ok"}
}))]
struct PlaceOrder {
    /// Which store brings it.
    #[schema(value_type = String, pattern = "^[a-z0-9-]{1,40}$", example = "store-1")]
    #[garde(dive)]
    store_id: Member<StoreId>,
    /// One for each SKU.
    #[schema(min_items = 1, max_items = 100)]
    #[garde(length(min = 1, max = ITEMS_MAX), dive)]
    items: Vec<PlaceOrderItem>,
    #[garde(dive)]
    payment: PaymentMeans,
    /// Where it is brought; without one, to the first of the customer's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[garde(dive)]
    address: Option<AddressDocument>,
}

/// So many pieces of something.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct PlaceOrderItem {
    #[schema(value_type = String, pattern = "^[A-Za-z0-9._-]{1,64}$", example = "AB-BEE-001")]
    #[garde(dive)]
    sku: Member<Sku>,
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000, example = 6)]
    #[garde(dive)]
    quantity: Member<Quantity, i64>,
}

/// How it is paid.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct PaymentMeans {
    /// What the payment provider gave for a card. The built-in one takes `tok_ok`, `tok_declined`, `tok_timeout` and
    /// `tok_flaky`.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,200}$", example = "tok_ok")]
    #[garde(dive)]
    token: Member<PaymentToken>,
}

impl PlaceOrder {
    fn of(self, customer_id: UserId) -> NewOrder {
        let wanted = |item: PlaceOrderItem| Wanted {
            sku: item.sku.into_inner(),
            quantity: item.quantity.into_inner(),
        };
        NewOrder {
            customer_id,
            store_id: self.store_id.into_inner(),
            items: self.items.into_iter().map(wanted).collect(),
            payment_token: self.payment.token.into_inner(),
            address: self.address.map(Address::from),
        }
    }
}

/// Why it is not wanted any more.
#[derive(Debug, Default, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelOrder {
    /// In words; kept in the log, so not the place for personal data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 200, example = "ordered twice")]
    #[garde(dive)]
    reason: Option<Member<Reason>>,
}

/// An order, and how far it has come.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document only; handlers answer a `CommandAnswer`"
)]
struct OrderAnswer {
    /// The order.
    id: String,
    /// Its version now; the `ETag`, and what `If-Match` takes.
    version: i64,
    /// Position of what is told here; `Nakku-Min-Position` of queries that must see it.
    position: i64,
    /// `pending`, `reserved`, `paid`, `scheduled`, `completed`, `cancelled`, `returned`, or `parked`: it halts until an
    /// operator has seen to it. Without `Prefer: wait` an order that was just placed is `pending`.
    #[schema(example = "pending")]
    status: Option<String>,
    /// Why it was cancelled: `out-of-stock`, `payment-declined`, `payment-timeout`, `delivery-unavailable`, `customer`.
    #[schema(required = true)]
    reason: Option<String>,
}

/// Order something, for oneself, at the prices of this moment.
///
/// The order is taken on at once and fulfilled afterwards: goods are reserved, the total is charged, a delivery is booked.
/// `Prefer: wait=N` answers with how that ended.
#[utoipa::path(
    post, path = "/orders", operation_id = "placeOrder", tag = "orders", security(("bearer" = [])),
    params(KeyedCommandHeaders, Preference),
    request_body = PlaceOrder,
    responses(
        (
            status = 201, description = "The order is placed.", body = OrderAnswer,
            headers(
                ("Location" = String, description = "where it can be read from now on"),
                ("ETag" = String, description = "the version in quotes, for `If-Match`"),
                ("Nakku-Position" = String, description = "for `Nakku-Min-Position` of queries that must see the effect"),
                ("Idempotent-Replayed" = String, description = "`true` on the answer of an earlier request with the same key"),
                ("Preference-Applied" = String, description = "`wait=N` where it was waited for the end"),
            ),
        ),
        (
            status = 422,
            description = "`unknown-items` with a pointer to the SKU of each, `customer-not-active`, `mixed-currencies`, \
                `total-too-large`; `invalid-body`, with each wrong member in `errors`; `idempotency-key-reused`",
            body = ProblemDocument, content_type = "application/problem+json"
        ),
    ),
)]
async fn place(
    State(api): State<CommandApi>,
    caller: Caller,
    ctx: Ctx,
    Json(body): Json<PlaceOrder>,
) -> Result<CommandAnswer, Problem> {
    ctx.required_idempotency_key()?;
    let context = api.context(&ctx, PLACE, &[], &body)?;
    let customer_id = caller.user_id.parse().map_err(Problem::internal)?;
    let new = body.of(customer_id);
    let asking = Asking::of(&ctx);
    let executed = {
        let api = api.clone();
        ctx.detached(async move { orders::place(&api, context, new, asking).await })
            .await?
    };
    let location = format!("{API_PREFIX}/orders/{}", executed.stream_id);
    let progress = waited_for(&api, &ctx, &executed).await;
    let status = progress.as_ref().map_or("pending", |(seen, _)| seen.status);
    let answer = told(executed, progress.as_ref()).with("status", status);
    Ok(answer.created(location))
}

/// Ask for the end of an order: one's own, or as staff any. It ends once everything that was done for it is undone.
#[utoipa::path(
    post, path = "/orders/{id}/cancel", operation_id = "cancelOrder", tag = "orders", security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the order"), CommandHeaders, Preference),
    // `Option<CancelOrder>` would say that `null` is one, too.
    request_body(content = ref("#/components/schemas/CancelOrder"), content_type = "application/json"),
    responses(
        (
            status = 200, description = "Its end was asked for, now or before. `status` is told where it was waited for.",
            body = OrderAnswer,
            headers(
                ("ETag" = String, description = "the version in quotes, for `If-Match`"),
                ("Nakku-Position" = String, description = "for `Nakku-Min-Position` of queries that must see the effect"),
                ("Idempotent-Replayed" = String, description = "`true` on the answer of an earlier request with the same key"),
                ("Preference-Applied" = String, description = "`wait=N` where it was waited for the end"),
            ),
        ),
        (status = 404, description = "`not-found`, also for somebody else's", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`order-ended`, `command-in-flight`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn cancel(
    State(api): State<CommandApi>,
    caller: Caller,
    Path(id): Path<OrderId>,
    ctx: Ctx,
    body: Option<Json<CancelOrder>>,
) -> Result<CommandAnswer, Problem> {
    let body = body.map(|Json(body)| body).unwrap_or_default();
    let context = api.context(&ctx, CANCEL, &[&id.to_string()], &body)?;
    let customer = match caller.role.may(Role::Staff) {
        true => None,
        false => Some(caller.user_id.parse().map_err(Problem::internal)?),
    };
    let reason = body.reason.map(Member::into_inner);
    let executed = {
        let store = api.store.clone();
        ctx.detached(async move { orders::cancel(&store, context, id, customer, reason).await })
            .await?
    };
    let progress = waited_for(&api, &ctx, &executed).await;
    let status = progress.as_ref().map(|(seen, _)| seen.status);
    Ok(told(executed, progress.as_ref()).with("status", status))
}

/// How far the order has come when it ends, or when what `Prefer: wait` asks has passed; and how long that is.
async fn waited_for(
    api: &CommandApi,
    ctx: &Ctx,
    executed: &Executed,
) -> Option<(Progress, Duration)> {
    let wait = ctx.wait?;
    let shutdown = ctx.shutdown();
    let progress = api
        .waiting
        .wait(&executed.stream_id, executed.position, wait, shutdown);
    match progress.await {
        Ok(progress) => Some((progress, wait)),
        Err(problem) => {
            // The command itself is done, and that is what was asked.
            tracing::warn!(%problem, "how far an order has come cannot be told");
            None
        }
    }
}

fn told(executed: Executed, progress: Option<&(Progress, Duration)>) -> CommandAnswer {
    let Some((seen, wait)) = progress else {
        return answer(executed).with("reason", None::<String>);
    };
    CommandAnswer::new(
        executed.stream_id,
        seen.version,
        seen.position.max(executed.position),
    )
    .replayed(executed.replayed)
    .waited(*wait)
    .with("reason", seen.reason)
}
