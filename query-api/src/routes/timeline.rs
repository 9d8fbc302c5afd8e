//! `orders/{id}/timeline`: each step of an order, with who took it and why. Another customer's order does not exist.

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{Caller, List, MinPosition, Page, Path, Problem, Role};
use read_models::Live;
use read_models::timeline::{self, Item};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::QueryApi;
use crate::answer::Answer;
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The steps of an order: its own events and those of its reservation, its payment, its delivery, and of the sagas that
/// bring it to its end, in the order in which they happened. A customer sees only their own orders.
#[utoipa::path(
    get, path = "/orders/{id}/timeline", tag = "orders", operation_id = "get_order_timeline",
    params(("id" = String, Path, description = "the order's id"), PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Item>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<QueryApi>,
    caller: Caller,
    Path(id): Path<String>,
    page: Page,
    wanted: MinPosition,
) -> Result<Answer<List<Item>>, Problem> {
    let after: Option<i64> = page.cursor()?;
    let (live, order_id) = find(&api, &caller, &id, &wanted).await?;
    let (after, limit) = (after.unwrap_or(0), super::rows_max(&page));
    let items = timeline::list(&api.pool, live.generation, order_id, after, limit).await;
    let list = page.list(items.map_err(database)?, |item| item.position);
    Ok(Answer::new(live.position, list))
}

/// The generation that answers, and the order, if the caller may see it.
pub(super) async fn find(
    api: &QueryApi,
    caller: &Caller,
    id: &str,
    wanted: &MinPosition,
) -> Result<(Live, Uuid), Problem> {
    let missing = || Problem::not_found(format!("there is no order {id}"));
    let order_id = Uuid::try_parse(id).map_err(|_| missing())?;
    let live = api.live(timeline::NAME, wanted).await?;
    let found = timeline::customer(&api.pool, live.generation, order_id).await;
    let customer_id = found.map_err(database)?.ok_or_else(missing)?;
    let is_own = customer_id.is_some_and(|customer_id| customer_id.to_string() == caller.user_id);
    if !is_own && !caller.role.may(Role::Staff) {
        return Err(missing());
    }
    Ok((live, order_id))
}
