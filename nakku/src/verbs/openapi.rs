//! `nakku openapi`.

use command_api::API_PREFIX;
use http_server::openapi;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::output;
use crate::roles::describe;

pub(super) fn run() -> anyhow::Result<()> {
    output::line(&serde_json::to_string_pretty(&document())?)?;
    Ok(())
}

/// The document of everything that clients see: the gateway's, and that of `nakku up`.
pub fn document() -> OpenApi {
    let api = [
        command_api::document(),
        query_api::document(),
        admin_api::document(),
    ]
    .into_iter()
    .map(OpenApiRouter::<()>::with_openapi)
    .fold(OpenApiRouter::new(), |whole, part| {
        whole.merge(OpenApiRouter::new().nest(API_PREFIX, part))
    });
    let well_known = OpenApiRouter::<()>::with_openapi(command_api::well_known_document());
    let (_, mut document) = openapi::split(api.merge(well_known));
    describe(&mut document);
    document
}
