//! `deliveries`: how orders are brought. A customer sees what is brought to them, a courier also what they bring and
//! what nobody brings yet, without its address; all else does not exist for them.

#![expect(
    unused_qualifications,
    reason = "what utoipa writes for a handler that takes a `Query`"
)]

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{Caller, List, MinPosition, Page, Path, Problem, Query, Role};
use read_models::deliveries::{self, Delivery, Filter, SeenBy, Status};
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
struct DeliveryFilter {
    /// Only deliveries from this store.
    store_id: Option<String>,
    /// Only deliveries with this status.
    #[param(inline)]
    status: Option<Status>,
    /// Only deliveries that this user brings.
    courier_id: Option<String>,
}

/// Deliveries that the caller may see, the newest first: all for staff; for couriers those that they bring, those that
/// wait for a courier (without addresses), and those that are brought to them; for customers only the last.
#[utoipa::path(
    get, path = "/deliveries", tag = "deliveries", operation_id = "list_deliveries",
    params(DeliveryFilter, PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Delivery>)),
    security(("bearer" = []))
)]
async fn list(
    State(api): State<QueryApi>,
    caller: Caller,
    Query(filter): Query<DeliveryFilter>,
    page: Page,
    wanted: MinPosition,
) -> Result<Answer<List<Delivery>>, Problem> {
    let before: Option<String> = page.cursor()?;
    let limit = super::rows_max(&page);
    let live = api.live(deliveries::NAME, &wanted).await?;
    let filter = Filter {
        store_id: super::filled(filter.store_id.as_deref()),
        status: filter.status,
        courier_id: super::filled(filter.courier_id.as_deref()),
        seen_by: match caller.role {
            Role::Customer => SeenBy::Customer(&caller.user_id),
            Role::Courier => SeenBy::Courier(&caller.user_id),
            Role::Staff | Role::Admin => SeenBy::All,
        },
    };
    let rows = deliveries::list(&api.pool, live.generation, filter, before.as_deref(), limit).await;
    let rows = rows.map_err(database)?.into_iter();
    let rows = rows.filter_map(|delivery| as_seen_by(&caller, delivery));
    let list = page.list(rows.collect(), |delivery| delivery.id.clone());
    Ok(Answer::new(live.position, list))
}

/// One delivery: brought to the caller, or by them; for couriers also one that waits for a courier (without its address);
/// any for staff.
#[utoipa::path(
    get, path = "/deliveries/{id}", tag = "deliveries", operation_id = "get_delivery",
    params(("id" = String, Path, description = "the delivery's id, as its order names it"), ReadYourWrites),
    responses((status = 200, body = Delivery)),
    security(("bearer" = []))
)]
async fn by_id(
    State(api): State<QueryApi>,
    caller: Caller,
    Path(id): Path<String>,
    wanted: MinPosition,
) -> Result<Answer<Delivery>, Problem> {
    let live = api.live(deliveries::NAME, &wanted).await?;
    let found = deliveries::by_id(&api.pool, live.generation, &id).await;
    let seen = found
        .map_err(database)?
        .and_then(|delivery| as_seen_by(&caller, delivery));
    let delivery = seen.ok_or_else(|| Problem::not_found(format!("there is no delivery {id}")))?;
    // Its version does not tell that the address was erased.
    Ok(Answer::tagged(live.position, delivery.version, delivery))
}

/// What the caller may see of a delivery.
fn as_seen_by(caller: &Caller, delivery: Delivery) -> Option<Delivery> {
    let is_theirs = [&delivery.customer_id, &delivery.courier_id]
        .into_iter()
        .flatten()
        .any(|id| *id == caller.user_id);
    if is_theirs || caller.role.may(Role::Staff) {
        return Some(delivery);
    }
    let is_open = caller.role.may(Role::Courier) && delivery.status == Status::Scheduled;
    is_open.then_some(Delivery {
        address: None,
        ..delivery
    })
}
