//! The OpenAPI document and its page, both served from the binary.

use axum::Router;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::problem::{FieldError, PROBLEM_JSON, ProblemDocument};

/// Name of the security scheme: `security(("bearer" = []))` at an operation.
pub const BEARER: &str = "bearer";
/// Name of the shared error answer.
const PROBLEM: &str = "Problem";

/// Splits a router from its document, the document completed by [`complete`].
pub fn split<S>(router: OpenApiRouter<S>) -> (Router<S>, OpenApi)
where
    S: Clone + Send + Sync + 'static,
{
    let (router, mut document) = router.split_for_parts();
    complete(&mut document);
    (router, document)
}

/// Adds what all routes share: the security scheme `bearer`, and the problem as the default
/// answer of every operation.
pub fn complete(document: &mut OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("access token from `users/login`, good for 15 minutes"))
        .build();
    let shared = ComponentsBuilder::new()
        .schema(ProblemDocument::name(), ProblemDocument::schema())
        .schema(FieldError::name(), FieldError::schema())
        .response(PROBLEM, problem_response())
        .security_scheme(BEARER, SecurityScheme::Http(scheme))
        .build();
    let components = document.components.get_or_insert_default();
    components.schemas.extend(shared.schemas);
    components.responses.extend(shared.responses);
    components.security_schemes.extend(shared.security_schemes);
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        operation
            .responses
            .responses
            .entry("default".to_owned())
            .or_insert_with(|| RefOr::Ref(Ref::from_response_name(PROBLEM)));
    }
}

/// `/openapi.json` and `/docs` (Swagger UI from the binary, works offline).
pub fn routes(document: OpenApi) -> Router {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .into()
}

fn problem_response() -> Response {
    let schema = Ref::from_schema_name(ProblemDocument::name());
    ResponseBuilder::new()
        .description("every error, as RFC 9457; `code` tells them apart")
        .content(
            PROBLEM_JSON,
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.patch,
        &mut item.delete,
    ]
    .into_iter()
    .flatten()
}
