//! The one public door. It knows which service answers what, and nothing of what is answered: no business, no log, no keys
//! but public ones.
//!
//! | module | is |
//! |---|---|
//! | [`routes`] | the table: each path with its service, and how often and how long it is asked |
//! | [`upstream`] | a service as the gateway calls it: over HTTP, or a router of the same process |
//! | `forward` | a request on its way in, an answer on its way out |
//! | `headers` | which headers end at the door, and which begin there |
//! | `refusals` | the problem of a request that no upstream could take |
//! | [`keys`] | the keys that tokens are verified by, as the user service publishes them |
//! | `landing` | `/`: what this is, for people and for programs |

mod forward;
mod headers;
mod landing;
mod refusals;

pub mod keys;
pub mod routes;
pub mod upstream;

use axum::Router;
use axum::routing::{MethodRouter, get, on};

pub use routes::{Access, Route, Service};
pub use upstream::{Upstream, Upstreams};

use routes::ROUTES;

/// Every route of the table, and `/`; to be wrapped in [`http_server::edge()`].
pub fn router(upstreams: &Upstreams) -> Router {
    let router = Router::new().route("/", get(landing::landing));
    ROUTES.iter().fold(router, |router, route| {
        router.route(
            route.path,
            method_router(route, upstreams.of(route.service)),
        )
    })
}

fn method_router(route: &'static Route, upstream: &Upstream) -> MethodRouter {
    let upstream = upstream.clone();
    let methods = on(route.method.filter(), move |arrival, request| {
        forward::forward(route, upstream.clone(), arrival, request)
    });
    if route.is_public_read() {
        methods.layer(http_server::compression::layer())
    } else {
        methods
    }
}
