//! `products`: what is, or was, for sale. Public.

use axum::extract::State;
use http_server::page::PageQuery;
use http_server::{List, MinPosition, Page, Path, Problem};
use read_models::products::{self, Product};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::QueryApi;
use crate::answer::{Answer, IfNoneMatch};
use crate::reading::{ReadYourWrites, database};

pub(super) fn router() -> OpenApiRouter<QueryApi> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(by_id))
        .routes(routes!(by_sku))
}

/// Every product, discontinued ones included, in the order of their creation.
#[utoipa::path(
    get, path = "/products", tag = "products", operation_id = "list_products",
    params(PageQuery, ReadYourWrites),
    responses((status = 200, body = List<Product>))
)]
async fn list(
    State(api): State<QueryApi>,
    page: Page,
    wanted: MinPosition,
) -> Result<Answer<List<Product>>, Problem> {
    let after: Option<String> = page.cursor()?;
    let limit = super::rows_max(&page);
    let live = api.live(products::NAME, &wanted).await?;
    let rows = products::list(&api.pool, live.generation, after.as_deref(), limit).await;
    let list = page.list(rows.map_err(database)?, |product| product.id.clone());
    Ok(Answer::new(live.position, list))
}

/// One product by its id.
#[utoipa::path(
    get, path = "/products/{id}", tag = "products", operation_id = "get_product",
    params(("id" = String, Path, description = "the product's id"), ReadYourWrites),
    responses((status = 200, body = Product), (status = 304, description = "`If-None-Match` names this version"))
)]
async fn by_id(
    State(api): State<QueryApi>,
    Path(id): Path<String>,
    wanted: MinPosition,
    known: IfNoneMatch,
) -> Result<Answer<Product>, Problem> {
    let live = api.live(products::NAME, &wanted).await?;
    let found = products::by_id(&api.pool, live.generation, &id).await;
    let missing = || Problem::not_found(format!("there is no product {id}"));
    let product = found.map_err(database)?.ok_or_else(missing)?;
    Ok(Answer::versioned(
        live.position,
        product.version,
        product,
        &known,
    ))
}

/// One product by its SKU.
#[utoipa::path(
    get, path = "/products/by-sku/{sku}", tag = "products", operation_id = "get_product_by_sku",
    params(("sku" = String, Path, description = "the product's SKU"), ReadYourWrites),
    responses((status = 200, body = Product), (status = 304, description = "`If-None-Match` names this version"))
)]
async fn by_sku(
    State(api): State<QueryApi>,
    Path(sku): Path<String>,
    wanted: MinPosition,
    known: IfNoneMatch,
) -> Result<Answer<Product>, Problem> {
    let live = api.live(products::NAME, &wanted).await?;
    let found = products::by_sku(&api.pool, live.generation, &sku).await;
    let missing = || Problem::not_found(format!("no product has SKU {sku}"));
    let product = found.map_err(database)?.ok_or_else(missing)?;
    Ok(Answer::versioned(
        live.position,
        product.version,
        product,
        &known,
    ))
}
