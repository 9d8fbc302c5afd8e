//! `inventory`: what a store has, and how much of it is promised. Public.

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{List, MinPosition, Page, Path, Problem};
use read_models::stock::{self, Stock};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::{Answer, IfNoneMatch};
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_sku))
}

/// A store's stock by SKU; empty for a store that never had any.
#[utoipa::path(
    get, path = "/inventory/{store_id}", tag = "inventory", operation_id = "list_stock",
    params(("store_id" = String, Path, description = "the store"), PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Stock>))
)]
async fn list(
    State(api): State<QueryApi>,
    Path(store_id): Path<String>,
    page: Page,
    wanted: MinPosition,
) -> Result<Answer<List<Stock>>, Problem> {
    let after: Option<String> = page.cursor()?;
    let limit = super::rows_max(&page);
    let live = api.live(stock::NAME, &wanted).await?;
    let rows = stock::list(
        &api.pool,
        live.generation,
        &store_id,
        after.as_deref(),
        limit,
    )
    .await;
    let list = page.list(rows.map_err(database)?, |stock| stock.sku.clone());
    Ok(Answer::new(live.position, list))
}

/// The stock of one SKU in one store.
#[utoipa::path(
    get, path = "/inventory/{store_id}/{sku}", tag = "inventory", operation_id = "get_stock",
    params(
        ("store_id" = String, Path, description = "the store"),
        ("sku" = String, Path, description = "the SKU"),
        ReadYourWrites
    ),
    responses((status = 200, body = Stock), (status = 304, description = "`If-None-Match` names this version"))
)]
async fn by_sku(
    State(api): State<QueryApi>,
    Path((store_id, sku)): Path<(String, String)>,
    wanted: MinPosition,
    known: IfNoneMatch,
) -> Result<Answer<Stock>, Problem> {
    let live = api.live(stock::NAME, &wanted).await?;
    let found = stock::by_key(&api.pool, live.generation, &store_id, &sku).await;
    let missing =
        || Problem::not_found(format!("store {store_id} never had anything of SKU {sku}"));
    let stock = found.map_err(database)?.ok_or_else(missing)?;
    Ok(Answer::versioned(
        live.position,
        stock.version,
        stock,
        &known,
    ))
}
