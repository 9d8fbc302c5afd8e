//! A service as the gateway calls it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http_client::{CallError, CallOptions};
use http_server::edge;

use crate::headers;
use crate::routes::Service;

/// One of our services: in other processes, or in this one. Cheap to clone.
#[derive(Clone)]
pub enum Upstream {
    /// Over HTTP.
    Remote(http_client::Upstream),
    /// Without a hop. Its routes are not wrapped in an edge: the gateway's is theirs too.
    Local(Router),
}

/// Who answers for each service.
#[derive(Clone)]
pub struct Upstreams(BTreeMap<Service, Upstream>);

/// A request with the conditions under which it is passed on.
pub struct Call {
    pub request: Request,
    pub options: CallOptions,
}

impl Upstreams {
    /// All services are routes of one router of this process.
    pub fn local(router: Router) -> Upstreams {
        let router = edge::inner(router, edge::BODY_BYTES_MAX);
        Upstreams::with(|_| Upstream::Local(router.clone()))
    }

    /// Each service is in other processes.
    pub fn remote(upstream: impl Fn(Service) -> http_client::Upstream) -> Upstreams {
        Upstreams::with(|service| Upstream::Remote(upstream(service)))
    }

    fn with(upstream: impl Fn(Service) -> Upstream) -> Upstreams {
        let each = Service::ALL.map(|service| (service, upstream(service)));
        Upstreams(each.into())
    }

    pub(crate) fn of(&self, service: Service) -> &Upstream {
        // Each way to make the map fills in every service.
        &self.0[&service]
    }
}

impl tower::Service<Call> for Upstream {
    type Response = Response;
    type Error = CallError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, CallError>> + Send>>;

    /// Always ready: whoever has too much to do says so in its answer.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let Call { request, options } = call;
        match self {
            Upstream::Remote(upstream) => {
                let upstream = upstream.clone();
                Box::pin(async move {
                    let request = request.map(headers::without_trailers);
                    let response = upstream.call(request, options).await?;
                    let mut response = response.map(Body::new);
                    headers::strip_hop_by_hop(response.headers_mut());
                    Ok(response)
                })
            }
            Upstream::Local(router) => {
                let answer = router.call(edge::hand_in(request));
                Box::pin(async move {
                    let answer: Result<Response, Infallible> = answer.await;
                    Ok(answer.unwrap_or_else(|never| match never {}))
                })
            }
        }
    }
}
