//! The port to whoever moves money. Its contract is what makes a crash harmless:
//!
//! - Every call of one payment carries the payment's id, the *key*. A charge is performed at most once under a key: asked
//!   again, also after its answer was lost, it answers as it did the first time.
//! - A refund names the same key. What was charged is given back, once; asked again it answers as the first time.
//! - A refund that comes before its charge leaves a tombstone: it answers [`RefundOutcome::NothingCharged`], and a charge
//!   that comes later under this key is declined, for good. So a charge whose fate is unknown is undone by a refund.
//! - [`Unavailable`] says nothing about the money: it may have moved. Ask again with the same key, or refund it.
//!
//! `docs/payments.md` has the protocol of [`HttpProvider`].

mod built_in;
mod http;
mod patient;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Money, PaymentId, PaymentToken};

pub use built_in::BuiltInProvider;
pub use http::{HttpProvider, HttpProviderSettings};
pub use patient::{Patience, Patient};

/// Whoever moves money.
#[async_trait]
pub trait PaymentProvider: Send + Sync + 'static {
    /// Takes the amount, at most once under the payment's id.
    ///
    /// # Errors
    /// [`Unavailable`]: whether money moved is unknown.
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable>;

    /// Gives back what was taken under the payment's id, at most once; where nothing was, nothing ever will be.
    ///
    /// # Errors
    /// [`Unavailable`]: whether money moved is unknown.
    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Unavailable>;
}

/// Money to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The payment: the key under which this is done at most once.
    pub payment_id: PaymentId,
    /// How much. The same in every call under one key.
    pub amount: Money,
    /// How the customer pays.
    pub token: PaymentToken,
    /// The caller's count of calls for this payment, from 1. Not part of what is asked.
    pub attempt: u32,
}

/// Money to give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The payment: the key of the charge.
    pub payment_id: PaymentId,
    /// How much: all that was to be charged.
    pub amount: Money,
    /// The charge's reference where the caller knows that it was performed; none where its answer never came.
    pub charged: Option<String>,
    /// The caller's count of calls for this refund, from 1. Not part of what is asked.
    pub attempt: u32,
}

/// What became of a charge, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The money is taken.
    Charged {
        /// The provider's name for it, 1 to 200 characters.
        reference: String,
    },
    /// It will not be taken under this key.
    Declined {
        /// The provider's word for why, one line.
        reason: String,
    },
}

/// What became of a refund, for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundOutcome {
    /// The money is given back.
    Refunded {
        /// The provider's name for it, 1 to 200 characters.
        reference: String,
    },
    /// There was nothing to give back, and a charge under this key will be declined for good.
    NothingCharged,
}

/// The provider gave no answer that counts. Whether money moved is unknown; asking again with the same key is harmless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// No connection.
    #[error("the payment provider cannot be reached: {0}")]
    NotReached(String),
    /// No answer within the deadline.
    #[error("the payment provider did not answer within {0:?}")]
    Silent(Duration),
    /// It failed, or its answer was lost on the way.
    #[error("the payment provider failed: {0}")]
    Failed(String),
    /// It and this program do not speak the same protocol, or it does not let this program in: for an operator.
    #[error("the payment provider and nakku do not understand each other: {0}")]
    NotUnderstood(String),
}

impl Unavailable {
    /// Whether the same call may go better at once.
    #[must_use]
    pub const fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::NotReached(_) | Self::Silent(_) | Self::Failed(_) => true,
            Self::NotUnderstood(_) => false,
        }
    }
}

#[async_trait]
impl<P: PaymentProvider + ?Sized> PaymentProvider for Arc<P> {
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable> {
        (**self).charge(charge).await
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Unavailable> {
        (**self).refund(refund).await
    }
}
