//! Users and products that another process has: the ports by which orders are placed there all the same.

mod http;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::product::Name;
use domain::{Price, ProductId, Role, Sku, UserId};
use http_server::{Ctx, Problem};
use serde::{Deserialize, Serialize};

use crate::problems;

pub use http::HttpService;

/// SKUs that one question names at most.
pub const SKUS_MAX: usize = 200;

/// What a client is told to wait where another service did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Where users are.
#[async_trait]
pub trait UserDirectory: Send + Sync + 'static {
    /// A user; none where there is no such.
    ///
    /// # Errors
    /// [`Unreachable`].
    async fn user(&self, id: UserId, asking: Asking) -> Result<Option<KnownUser>, Unreachable>;
}

/// Where products are.
#[async_trait]
pub trait Catalogue: Send + Sync + 'static {
    /// The products of these SKUs, at most [`SKUS_MAX`]; those that are nobody's are absent.
    ///
    /// # Errors
    /// [`Unreachable`].
    async fn products(
        &self,
        skus: &[Sku],
        asking: Asking,
    ) -> Result<Vec<KnownProduct>, Unreachable>;
}

/// On behalf of which request another service is asked.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    deadline: Instant,
    /// Through how many of our services the request came.
    pub(crate) hops: u32,
}

impl Asking {
    pub(crate) fn of(ctx: &Ctx) -> Self {
        Self {
            deadline: ctx.deadline,
            hops: ctx.hops,
        }
    }

    /// How much time the request has left.
    pub(crate) fn left(self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

/// A user as services tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownUser {
    /// Whose stream it is.
    pub id: UserId,
    /// `active`, `deactivated` or `erased`.
    pub status: String,
    /// What they may do; none once they are erased.
    pub role: Option<Role>,
}

/// A product as services tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownProduct {
    /// What it was asked for by.
    pub sku: Sku,
    /// Whose the SKU is.
    pub product_id: ProductId,
    /// What it is called.
    pub name: Name,
    /// What one piece costs.
    pub price: Price,
    /// `active` or `discontinued`.
    pub status: String,
}

/// The status of users and products that take part.
pub(crate) const ACTIVE: &str = "active";

impl KnownUser {
    pub(crate) fn is_active(&self) -> bool {
        self.status == ACTIVE
    }
}

impl KnownProduct {
    pub(crate) fn is_active(&self) -> bool {
        self.status == ACTIVE
    }
}

/// Another service did not answer, or not as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

impl From<Unreachable> for Problem {
    fn from(unreachable: Unreachable) -> Self {
        tracing::warn!(error = %unreachable, "another service did not answer");
        Problem::from(problems::SERVICE_UNREACHABLE)
            .detail("the service that has users or products did not answer; nothing was done")
            .retry_after(RETRY_AFTER)
    }
}
