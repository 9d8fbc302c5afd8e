//! `/internal`: what services ask each other, answered from the log.

use axum::extract::State;
use domain::{Product, Sku, User, UserId};
use http_server::auth::Service;
use http_server::{Json, Path, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::CommandApi;
use crate::elsewhere::{ACTIVE, KnownProduct, KnownUser, SKUS_MAX};
use crate::orders;
use crate::problems::of_states;
use crate::products::MoneyDocument;

pub(crate) fn users() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new().routes(routes!(user))
}

pub(crate) fn products() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new().routes(routes!(products_by_sku))
}

/// A user, as services tell each other.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the document only")]
struct KnownUserDocument {
    /// The user.
    id: uuid::Uuid,
    /// `active`, `deactivated` or `erased`.
    #[schema(example = "active")]
    status: String,
    /// What they may do; `null` once they are erased.
    #[schema(required = true, example = "customer")]
    role: Option<String>,
}

/// Products, as services tell each other.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the document only")]
struct KnownProductsDocument {
    /// In the order of the SKUs; without those that are nobody's.
    items: Vec<KnownProductDocument>,
}

/// A product, as services tell each other.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by the document only")]
struct KnownProductDocument {
    #[schema(example = "AB-BEE-001")]
    sku: String,
    product_id: uuid::Uuid,
    #[schema(example = "Craft Lager")]
    name: String,
    price: MoneyDocument,
    /// `active` or `discontinued`.
    #[schema(example = "active")]
    status: String,
}

#[derive(Serialize)]
struct KnownProducts {
    items: Vec<KnownProduct>,
}

/// Whether a user takes part, for another service.
#[utoipa::path(
    get, path = "/internal/users/{id}", operation_id = "internalUser", tag = "internal",
    security(("service" = [])),
    params(("id" = Uuid, Path, description = "the user")),
    responses((status = 200, description = "as the log has it now", body = KnownUserDocument)),
)]
async fn user(
    State(api): State<CommandApi>,
    _: Service,
    Path(id): Path<UserId>,
) -> Result<Json<KnownUser>, Problem> {
    let key = id.to_string();
    let users = api.store.states::<User>(std::slice::from_ref(&key)).await;
    let users = users.map_err(of_states)?;
    let (status, role) = match users.get(&key).map(|(user, _)| user) {
        None | Some(User::Unregistered) => {
            return Err(Problem::not_found("user does not exist"));
        }
        Some(User::Active(account)) => (ACTIVE, Some(account.role)),
        Some(User::Deactivated(account)) => ("deactivated", Some(account.role)),
        Some(User::Erased) => ("erased", None),
    };
    Ok(Json(KnownUser {
        id,
        status: status.to_owned(),
        role,
    }))
}

/// What is sold under these SKUs, for another service.
#[utoipa::path(
    get, path = "/internal/products", operation_id = "internalProducts", tag = "internal",
    security(("service" = [])),
    params((
        "sku" = Vec<String>, Query, description = "1 to 200 SKUs, each in a parameter of its own", style = Form, explode,
        min_items = 1, max_items = 200,
    )),
    responses((status = 200, description = "as the log has it now", body = KnownProductsDocument)),
)]
async fn products_by_sku(
    State(api): State<CommandApi>,
    _: Service,
    Query(parameters): Query<Vec<(String, String)>>,
) -> Result<Json<KnownProducts>, Problem> {
    let skus = skus(parameters)?;
    let products = orders::products(&api.store, &skus).await?;
    let items = products
        .into_iter()
        .filter_map(|(sku, product_id, product)| {
            let listing = product.listing()?;
            let status = match product {
                Product::Active(_) => ACTIVE,
                Product::Absent | Product::Discontinued(_) => "discontinued",
            };
            Some(KnownProduct {
                sku,
                product_id,
                name: listing.details.name.clone(),
                price: listing.price,
                status: status.to_owned(),
            })
        });
    let items = items.collect();
    Ok(Json(KnownProducts { items }))
}

/// Without repetition, in the order in which they were given.
fn skus(parameters: Vec<(String, String)>) -> Result<Vec<Sku>, Problem> {
    let mut skus = Vec::with_capacity(parameters.len());
    for (name, value) in parameters {
        if name != "sku" {
            return Err(Problem::bad_request("the only query parameter is sku"));
        }
        let sku: Sku = value
            .parse()
            .map_err(|refusal| Problem::bad_request(format!("sku: {refusal}")))?;
        if !skus.contains(&sku) {
            skus.push(sku);
        }
    }
    if !(1..=SKUS_MAX).contains(&skus.len()) {
        return Err(Problem::bad_request(format!(
            "sku: must be given 1 to {SKUS_MAX} times"
        )));
    }
    Ok(skus)
}
