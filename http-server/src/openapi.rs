//! The OpenAPI document and its page, both served from the binary.

mod queries;
mod refusals;

use axum::Router;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, OpenApi};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

pub use queries::KnownQueries;

use crate::problem::{FieldError, ProblemDocument};

/// Name of the security scheme: `security(("bearer" = []))` at an operation.
pub const BEARER: &str = "bearer";
/// As [`BEARER`], for what services ask each other.
pub const SERVICE: &str = "service";

/// Splits a router from its document, the document completed by [`complete`].
pub fn split<S>(router: OpenApiRouter<S>) -> (Router<S>, OpenApi)
where
    S: Clone + Send + Sync + 'static,
{
    let (router, mut document) = router.split_for_parts();
    complete(&mut document);
    (router, document)
}

/// Adds what all routes share: the security schemes, and the refusals that every operation of its kind may answer
/// with beside those that it names itself.
pub fn complete(document: &mut OpenApi) {
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("access token from `users/login`, good for 15 minutes"))
        .build();
    let service = ApiKeyValue::with_description(
        "Nakku-Service-Token",
        "the token that all services of an installation share",
    );
    let shared = ComponentsBuilder::new()
        .schema(ProblemDocument::name(), ProblemDocument::schema())
        .schema(FieldError::name(), FieldError::schema())
        .security_scheme(BEARER, SecurityScheme::Http(scheme))
        .security_scheme(SERVICE, SecurityScheme::ApiKey(ApiKey::Header(service)))
        .build();
    let components = document.components.get_or_insert_default();
    components.schemas.extend(shared.schemas);
    components.security_schemes.extend(shared.security_schemes);
    refusals::add(document);
}

/// `/openapi.json` and `/docs` (Swagger UI from the binary, works offline).
pub fn routes(document: OpenApi) -> Router {
    SwaggerUi::new("/docs")
        .url("/openapi.json", document)
        .into()
}
