//! Another process of nakku, asked over HTTP.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Sku, UserId};
use reqwest::header::HeaderValue;
use reqwest::{Client, StatusCode, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Catalogue, KnownProduct, KnownUser, Unreachable, UserDirectory};

/// For a question with its repetition: a client waits for the answer.
const DEADLINE: Duration = Duration::from_secs(2);
/// A service that does not even take the connection within this time is down; there is time for one more.
const CONNECT_DEADLINE: Duration = Duration::from_millis(700);
/// Before a question is repeated.
const PAUSE: Duration = Duration::from_millis(50);
/// Connections kept open between questions.
const IDLE_CONNECTIONS_MAX: usize = 32;
/// Shorter than a server of nakku keeps an idle connection.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// No address of a service. Reads as a predicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an address like http://users:8081")]
pub struct UrlError;

/// A service at an address, as [`UserDirectory`] or [`Catalogue`]. A question is repeated once where the service could not
/// be reached or failed; both together have two seconds.
#[derive(Clone)]
pub struct HttpService {
    client: Client,
    base: Url,
    authorization: HeaderValue,
}

/// The answer of `/internal/products`.
#[derive(Deserialize)]
struct Products {
    items: Vec<KnownProduct>,
}

/// Why a question was not answered.
struct Failure {
    why: String,
    is_worth_repeating: bool,
}

impl HttpService {
    /// The service at `url`, to which this process is known by `token`.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn new(url: &str, token: &str) -> Result<Self, UrlError> {
        let base = Url::parse(url).map_err(|_| UrlError)?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(UrlError);
        }
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| UrlError)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_DEADLINE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .build()
            .map_err(|_| UrlError)?;
        Ok(Self {
            client,
            base,
            authorization,
        })
    }

    /// What is at `path`; none for 404.
    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Unreachable> {
        let mut url = self.base.clone();
        let prefix = self.base.path().trim_end_matches('/');
        url.set_path(&format!("{prefix}{path}"));
        let told = |why: String| Unreachable(format!("{} {why}", self.base));
        let answer = tokio::time::timeout(DEADLINE, self.ask_twice(&url, query)).await;
        match answer {
            Ok(answer) => answer.map_err(|failure| told(failure.why)),
            Err(_) => Err(told(format!("did not answer within {DEADLINE:?}"))),
        }
    }

    async fn ask_twice<T: DeserializeOwned>(
        &self,
        url: &Url,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Failure> {
        match self.ask(url, query).await {
            Err(failure) if failure.is_worth_repeating => {
                tokio::time::sleep(PAUSE).await;
                self.ask(url, query).await
            }
            answer => answer,
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        url: &Url,
        query: &[(&str, &str)],
    ) -> Result<Option<T>, Failure> {
        let request = self
            .client
            .get(url.clone())
            .query(query)
            .header(reqwest::header::AUTHORIZATION, self.authorization.clone());
        let response = request.send().await.map_err(unanswered)?;
        match response.status() {
            StatusCode::OK => response.json().await.map(Some).map_err(unanswered),
            StatusCode::NOT_FOUND => Ok(None),
            status => Err(Failure {
                why: format!("answered {status}"),
                is_worth_repeating: status.is_server_error(),
            }),
        }
    }
}

fn unanswered(error: reqwest::Error) -> Failure {
    Failure {
        is_worth_repeating: !error.is_decode() && !error.is_builder(),
        why: format!("did not answer: {}", error.without_url()),
    }
}

#[async_trait]
impl UserDirectory for HttpService {
    async fn user(&self, id: UserId) -> Result<Option<KnownUser>, Unreachable> {
        self.get(&format!("/internal/users/{id}"), &[]).await
    }
}

#[async_trait]
impl Catalogue for HttpService {
    async fn products(&self, skus: &[Sku]) -> Result<Vec<KnownProduct>, Unreachable> {
        let query: Vec<(&str, &str)> = skus.iter().map(|sku| ("sku", sku.as_str())).collect();
        let products: Option<Products> = self.get("/internal/products", &query).await?;
        // It always answers; 404 is a service that knows no such route, or not us.
        let products = products.ok_or_else(|| {
            Unreachable(format!("{} knows no /internal/products for us", self.base))
        })?;
        Ok(products.items)
    }
}
