//! The OpenAPI document.

use utoipa::openapi::{Info, License, OpenApi};

/// Says whose document it is.
pub(crate) fn describe(document: &mut OpenApi) {
    let mut info = Info::new("nakku", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Event-sourced CQRS backend for quick commerce. Commands answer with the position of what they did \
         (`Nakku-Position`); a query that sends it back as `Nakku-Min-Position` sees it."
            .to_owned(),
    );
    info.license = Some(License::new("MIT OR Apache-2.0"));
    document.info = info;
}
