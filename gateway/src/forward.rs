//! A request on its way in, and its answer on its way out.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use http_client::{CallOptions, Retry};
use http_server::headers::IDEMPOTENCY_KEY;
use http_server::{Arrival, Problem, edge};
use tower::Service as _;

use crate::headers;
use crate::refusals::{self, Asked};
use crate::routes::{Access, Deadline, Route};
use crate::upstream::{Call, Upstream};

/// An attempt's share of the request's own time: so a second one has as much. What `Prefer: wait` asks for comes on top.
const ATTEMPT: Duration = edge::REQUEST_MAX.checked_div(2).expect("two is not zero");
/// The gateway gives up this much before its client does, so that its own, better answer still arrives.
const MARGIN: Duration = Duration::from_millis(250);
/// How long a stream may stand still. Event streams have a sign of life every 15 s.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Of answers to somebody with a token: not to be kept for anybody else, and by a browser only to ask whether it still holds.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Has `upstream` answer the request.
pub(crate) async fn forward(
    route: &'static Route,
    mut upstream: Upstream,
    arrival: Arrival,
    mut request: Request,
) -> Result<Response, Problem> {
    if route.access == Access::Bearer {
        arrival.check_token()?;
    }
    let options = options(route, &arrival, &request);
    if let Upstream::Remote(_) = &upstream {
        headers::pass_on(request.headers_mut(), &arrival);
    }
    let asked = Asked {
        service: route.service,
        has_effect: !request.method().is_safe(),
    };
    let answer = upstream.call(Call { request, options }).await;
    let mut response: Response<Body> = answer.map_err(|error| refusals::problem(asked, &error))?;
    if !route.is_public_read() {
        let headers = response.headers_mut();
        headers.entry(header::CACHE_CONTROL).or_insert(PRIVATE);
    }
    Ok(response)
}

fn options(route: &Route, arrival: &Arrival, request: &Request) -> CallOptions {
    let left = arrival.deadline().saturating_duration_since(Instant::now());
    let deadline = left.saturating_sub(MARGIN.min(left / 2));
    let attempt = match route.deadline {
        Deadline::Request => ATTEMPT + arrival.wait().unwrap_or_default(),
        Deadline::Figures | Deadline::Stream => deadline,
    };
    let is_keyed = request.headers().contains_key(IDEMPOTENCY_KEY);
    CallOptions {
        retry: match route.retry {
            Retry::Keyed if !is_keyed => Retry::Never,
            retry => retry,
        },
        deadline,
        attempt: attempt.min(deadline),
        is_shortened: arrival.is_shortened(),
        idle: (route.deadline == Deadline::Stream).then_some(IDLE_MAX),
        hops: arrival.hops(),
    }
}
