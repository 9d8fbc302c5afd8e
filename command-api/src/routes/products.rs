//! `/products`: the catalogue.

mod import;

use axum::extract::State;
use domain::product::{Attributes, Brand, Category, Description, DetailsChange, Name, Size};
use domain::{Money, Price, ProductId};
use garde::Validate;
use http_server::problem::ProblemDocument;
use http_server::{CommandAnswer, Ctx, Json, Path, Problem, Staff};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::documented::{Began, Changed, CommandHeaders};
use crate::CommandApi;
use crate::execute::{Operation, answer, created};
use crate::member::{Member, Nothing, present};
use crate::products::{self, CreateProduct, MoneyDocument};

pub(crate) fn router() -> OpenApiRouter<CommandApi> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(update_details))
        .routes(routes!(change_price))
        .routes(routes!(discontinue))
        .merge(import::router())
}

const CREATE: Operation = Operation {
    name: "create",
    route: "products",
};
const UPDATE_DETAILS: Operation = Operation {
    name: "update-details",
    route: "products/{id}/update-details",
};
const CHANGE_PRICE: Operation = Operation {
    name: "change-price",
    route: "products/{id}/change-price",
};
const DISCONTINUE: Operation = Operation {
    name: "discontinue",
    route: "products/{id}/discontinue",
};

/// What changes: absent members stay as they are, `null` takes away what is optional.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct UpdateDetails {
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = String, required = false, max_length = 200)]
    #[garde(dive)]
    name: Option<Member<Name>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, max_length = 100)]
    #[garde(dive)]
    brand: Option<Option<Member<Brand>>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, max_length = 4000)]
    #[garde(dive)]
    description: Option<Option<Member<Description>>>,
    /// From the widest category to the narrowest.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Vec<String>, required = false, max_items = 5)]
    #[garde(dive)]
    category: Option<Member<Category, Vec<String>>>,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<String>, max_length = 100)]
    #[garde(dive)]
    size: Option<Option<Member<Size>>>,
    /// All of them: those that are left out are taken away.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    #[garde(dive)]
    attributes: Option<Member<Attributes, BTreeMap<String, String>>>,
}

impl From<UpdateDetails> for DetailsChange {
    fn from(body: UpdateDetails) -> Self {
        Self {
            name: body.name.map(Member::into_inner),
            brand: body.brand.map(|brand| brand.map(Member::into_inner)),
            description: body
                .description
                .map(|description| description.map(Member::into_inner)),
            category: body.category.map(Member::into_inner),
            size: body.size.map(|size| size.map(Member::into_inner)),
            attributes: body.attributes.map(Member::into_inner),
        }
    }
}

/// Another price.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangePrice {
    /// What one piece costs from now on: 0 to 10^12 minor units.
    #[schema(value_type = MoneyDocument)]
    #[garde(dive)]
    price: Member<Price, Money>,
}

/// Create a product.
#[utoipa::path(
    post, path = "/products", operation_id = "createProduct", tag = "products", security(("bearer" = [])),
    params(CommandHeaders),
    request_body = CreateProduct,
    responses(
        Began,
        (status = 409, description = "`sku-taken`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn create(
    State(api): State<CommandApi>,
    _: Staff,
    ctx: Ctx,
    Json(body): Json<CreateProduct>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, CREATE, &[], &body)?;
    let executed = products::create(&api.store, context, body.into()).await?;
    Ok(created(executed, "products"))
}

/// Change what describes a product.
#[utoipa::path(
    post, path = "/products/{id}/update-details", operation_id = "updateProductDetails", tag = "products",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the product"), CommandHeaders),
    request_body = UpdateDetails,
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`product-discontinued`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn update_details(
    State(api): State<CommandApi>,
    _: Staff,
    Path(id): Path<ProductId>,
    ctx: Ctx,
    Json(body): Json<UpdateDetails>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, UPDATE_DETAILS, &[&id.to_string()], &body)?;
    let executed = products::update_details(&api.store, context, id, body.into()).await?;
    Ok(answer(executed))
}

/// Change what a product costs.
#[utoipa::path(
    post, path = "/products/{id}/change-price", operation_id = "changeProductPrice", tag = "products",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the product"), CommandHeaders),
    request_body = ChangePrice,
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`product-discontinued`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn change_price(
    State(api): State<CommandApi>,
    _: Staff,
    Path(id): Path<ProductId>,
    ctx: Ctx,
    Json(body): Json<ChangePrice>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, CHANGE_PRICE, &[&id.to_string()], &body)?;
    let executed = products::change_price(&api.store, context, id, body.price.into_inner()).await?;
    Ok(answer(executed))
}

/// Take a product out of sale, for good.
#[utoipa::path(
    post, path = "/products/{id}/discontinue", operation_id = "discontinueProduct", tag = "products",
    security(("bearer" = [])),
    params(("id" = Uuid, Path, description = "the product"), CommandHeaders),
    responses(
        Changed,
        (status = 404, description = "`not-found`", body = ProblemDocument, content_type = "application/problem+json"),
    ),
)]
async fn discontinue(
    State(api): State<CommandApi>,
    _: Staff,
    Path(id): Path<ProductId>,
    ctx: Ctx,
    _: Option<Json<Nothing>>,
) -> Result<CommandAnswer, Problem> {
    let context = api.context(&ctx, DISCONTINUE, &[&id.to_string()], &())?;
    let executed = products::discontinue(&api.store, context, id).await?;
    Ok(answer(executed))
}
