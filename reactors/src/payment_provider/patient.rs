//! How long a provider is waited for, and how often it is asked: in one place for every provider.

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Charge, ChargeOutcome, PaymentProvider, Refund, RefundOutcome, Unavailable};

/// A call with everything in it: longer, and the customer has gone.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// One attempt: half of the call, so that a lost answer leaves time to ask again.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(5);
/// A provider that has just failed gets a breath before it is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Calls at once. More of them wait, within their deadline: a silent provider must not collect connections.
const CALLS_AT_ONCE_MAX: usize = 256;

/// How long a call may take. The default is for production; tests want less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The whole call: 10 s.
    pub call: Duration,
    /// One of its two attempts: 5 s.
    pub attempt: Duration,
    /// Between the two: 200 ms.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            call: CALL_DEADLINE,
            attempt: ATTEMPT_DEADLINE,
            pause: RETRY_PAUSE,
        }
    }
}

/// A provider that always answers within the deadline, asked a second time where that may help. At most 256 calls at once.
#[derive(Debug)]
pub struct Patient<P> {
    provider: P,
    patience: Patience,
    calls: Semaphore,
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Unavailable>> + Send + 'a>>;

impl<P: PaymentProvider> Patient<P> {
    /// The provider with the patience of production.
    pub fn new(provider: P) -> Self {
        Self::with_patience(provider, Patience::default())
    }

    /// The provider with a patience of its own.
    pub fn with_patience(provider: P, patience: Patience) -> Self {
        Self {
            provider,
            patience,
            calls: Semaphore::new(CALLS_AT_ONCE_MAX),
        }
    }

    async fn ask<'a, T>(
        &'a self,
        call: impl Fn() -> Answer<'a, T> + Send,
    ) -> Result<T, Unavailable> {
        let end = Instant::now() + self.patience.call;
        let silent = || Unavailable::Silent(self.patience.call);
        let _permit = timeout_at(end, self.calls.acquire())
            .await
            .map_err(|_| silent())?
            .expect("never closed");
        let first = self.attempt(end, call()).await;
        let Err(error) = first else { return first };
        let again = Instant::now() + self.patience.pause;
        if !error.is_worth_a_retry() || again >= end {
            return Err(error);
        }
        tracing::debug!(%error, "payment provider is asked again");
        sleep_until(again).await;
        self.attempt(end, call()).await
    }

    async fn attempt<T>(&self, end: Instant, answer: Answer<'_, T>) -> Result<T, Unavailable> {
        let now = Instant::now();
        let end = end.min(now + self.patience.attempt);
        match timeout_at(end, answer).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Unavailable::Silent(end - now)),
        }
    }
}

#[async_trait]
impl<P: PaymentProvider> PaymentProvider for Patient<P> {
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable> {
        self.ask(|| self.provider.charge(charge)).await
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Unavailable> {
        self.ask(|| self.provider.refund(refund)).await
    }
}
