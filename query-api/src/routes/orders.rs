//! `orders`: what was bought, and how far it has come. A customer sees their own; those of others do not exist.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{Caller, List, MinPosition, Page, Path, Problem, Query, Role};
use read_models::orders::{self, Filter, Order, Status};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_id))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OrderFilter {
    /// Only orders of this user; a customer finds none but their own.
    customer_id: Option<String>,
    /// Only orders from this store.
    store_id: Option<String>,
    /// Only orders with this status.
    #[param(inline)]
    status: Option<Status>,
}

/// Orders, the newest first: the caller's own, or everybody's for staff.
#[utoipa::path(
    get, path = "/orders", tag = "orders", operation_id = "list_orders",
    params(OrderFilter, PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Order>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<QueryApi>,
    caller: Caller,
    Query(filter): Query<OrderFilter>,
    page: Page,
    wanted: MinPosition,
) -> Result<Answer<List<Order>>, Problem> {
    let before: Option<String> = page.cursor()?;
    let limit = super::rows_max(&page);
    let live = api.live(orders::NAME, &wanted).await?;
    let customer_id = super::filled(filter.customer_id.as_deref());
    let (own, all) = (&*caller.user_id, caller.role.may(Role::Staff));
    if !all && customer_id.is_some_and(|id| id != own) {
        // What is filtered for is nobody's but its customer's to see.
        return Ok(Answer::new(live.position, page.list(vec![], order_id)));
    }
    let filter = Filter {
        customer_id: if all { customer_id } else { Some(own) },
        store_id: super::filled(filter.store_id.as_deref()),
        status: filter.status,
    };
    let rows = orders::list(&api.pool, live.generation, filter, before.as_deref(), limit).await;
    let list = page.list(rows.map_err(database)?, order_id);
    Ok(Answer::new(live.position, list))
}

fn order_id(order: &Order) -> String {
    order.id.clone()
}

/// One order: the caller's own, or anyone's for staff.
///
/// `ETag` is the version of the order's own stream, for `If-Match`. The answer shows payment and delivery as well, which
/// change without it; so `If-None-Match` is not heeded.
#[utoipa::path(
    get, path = "/orders/{id}", tag = "orders", operation_id = "get_order",
    params(("id" = String, Path, description = "the order's id"), ReadYourWrites),
    responses((status = 200, body = Order)),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<QueryApi>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: MinPosition,
) -> Result<Answer<Order>, Problem> {
    let live = api.live(orders::NAME, &wanted).await?;
    let found = orders::by_id(&api.pool, live.generation, &id).await;
    let is_visible =
        |order: &Order| order.customer_id == caller.user_id || caller.role.may(Role::Staff);
    let order = found.map_err(database)?.filter(is_visible);
    let order = order.ok_or_else(|| Problem::not_found(format!("there is no order {id}")))?;
    Ok(Answer::tagged(live.position, order.version, order))
}
