//! Another process of nakku, asked over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use axum::http::StatusCode;
use domain::{Sku, UserId};
use http_client::{Call, CallOptions, Upstream};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Asking, Catalogue, KnownProduct, KnownUser, SKUS_MAX, Unreachable, UserDirectory};

/// For a question with its repetitions: a client waits for the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// An attempt's share: there is time for another instance.
const ATTEMPT: Duration = Duration::from_secs(1);
/// What is told of a product takes a few hundred bytes, its name included.
const ANSWER_BYTES_MAX: usize = SKUS_MAX * 4 * 1024;

/// A service of other processes, as [`UserDirectory`] or [`Catalogue`]. A question has two seconds.
#[derive(Debug, Clone)]
pub struct HttpService {
    upstream: Upstream,
}

/// The answer of `/internal/products`.
#[derive(Deserialize)]
struct Products {
    items: Vec<KnownProduct>,
}

impl HttpService {
    /// The service behind `upstream`, to which this process is known by the service token.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    /// The answer to a question; none for 404.
    async fn ask<T: DeserializeOwned>(
        &self,
        call: Call,
        asking: Asking,
    ) -> Result<Option<T>, Unreachable> {
        let options = options(asking);
        let answer = self.upstream.send(call, options, ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| self.told(error.to_string()))?;
        match answer.status {
            StatusCode::OK => answer
                .json()
                .map(Some)
                .map_err(|error| self.told(format!("its answer {error}"))),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(self.told(format!("answered {status}"))),
        }
    }

    fn told(&self, why: impl Into<String>) -> Unreachable {
        Unreachable(format!("{}: {}", self.upstream.name(), why.into()))
    }
}

fn options(asking: Asking) -> CallOptions {
    let deadline = DEADLINE.min(asking.left());
    CallOptions {
        attempt: ATTEMPT.min(deadline),
        is_shortened: deadline < DEADLINE,
        hops: asking.hops,
        ..CallOptions::safe(deadline)
    }
}

#[async_trait]
impl UserDirectory for HttpService {
    async fn user(&self, id: UserId, asking: Asking) -> Result<Option<KnownUser>, Unreachable> {
        let call = Call::get(&format!("/internal/users/{id}"));
        self.ask(call, asking).await
    }
}

#[async_trait]
impl Catalogue for HttpService {
    async fn products(
        &self,
        skus: &[Sku],
        asking: Asking,
    ) -> Result<Vec<KnownProduct>, Unreachable> {
        let query: Vec<(&str, &str)> = skus.iter().map(|sku| ("sku", sku.as_str())).collect();
        let call = Call::get("/internal/products").query(&query);
        let products: Option<Products> = self.ask(call, asking).await?;
        // It always answers; 404 is a service that knows no such route, or not us.
        let products = products.ok_or_else(|| self.told("knows no /internal/products"))?;
        Ok(products.items)
    }
}
