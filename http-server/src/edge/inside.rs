//! Routers inside a route: a service of the same process, called as if it were another one, behind one edge.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::Extensions;

use super::{method_not_allowed, not_found};
use crate::arrival::Arrival;
use crate::tasks::Tasks;

/// A router to be called from a handler whose own router is wrapped in [`super::edge()`]: with problems for unknown paths and
/// methods and a limit of bodies, and without anything that the edge outside does. Its requests go through [`hand_in`].
pub fn inner(router: Router, body_bytes: usize) -> Router {
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(body_bytes))
        .with_state(())
}

/// The request as a router inside gets it: without what the router outside noted down, as the parameters that it found in the
/// path, which would be taken for the inner one's.
#[must_use]
pub fn hand_in(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let mut outside = std::mem::take(&mut parts.extensions);
    let inside = &mut parts.extensions;
    keep::<Arrival>(&mut outside, inside);
    keep::<ConnectInfo<SocketAddr>>(&mut outside, inside);
    keep::<Tasks>(&mut outside, inside);
    Request::from_parts(parts, body)
}

fn keep<T: Clone + Send + Sync + 'static>(outside: &mut Extensions, inside: &mut Extensions) {
    if let Some(kept) = outside.remove::<T>() {
        inside.insert(kept);
    }
}
