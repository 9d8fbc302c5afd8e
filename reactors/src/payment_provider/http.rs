//! A provider behind HTTP, by the protocol of `docs/payments.md`.

use std::time::Duration;

use async_trait::async_trait;
use domain::{Money, PaymentId};
use http::{HeaderName, StatusCode};
use http_client::{
    Afterwards, Answer, Call, CallError, CallOptions, CertificateAuthority, ServiceUrl,
    SettingError, Upstream, line,
};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Charge, ChargeOutcome, PaymentProvider, Refund, RefundOutcome, Unavailable};

/// As the provider's client calls it.
const NAME: &str = "payment-provider";
/// Longer than any caller waits: [`super::Patient`] has the deadline.
const CALL_MAX: Duration = Duration::from_secs(60);
/// An answer is a few words; what is longer is not one.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A provider's name for a charge is kept in an event.
const REFERENCE_CHARS_MAX: usize = 200;
/// Carries the payment's id.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Where a provider is.
#[derive(Debug, Clone)]
pub struct HttpProviderSettings {
    /// `http` or `https`, as `https://pay.example.org/v1`; `/charges` is put behind it.
    pub url: String,
    /// Sent as a bearer token where there is one.
    pub bearer: Option<SecretString>,
    /// Trusted besides the system's.
    pub authority: Option<CertificateAuthority>,
}

/// Asks a provider over HTTP, once a call and as long as the caller waits: [`super::Patient`] has the deadline and the retry.
#[derive(Debug, Clone)]
pub struct HttpProvider {
    upstream: Upstream,
    bearer: Option<SecretString>,
}

impl HttpProvider {
    /// A client for the provider; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is no plain HTTP address, the bearer token does not fit a header, or the system has no
    /// certificates to trust.
    pub fn new(settings: &HttpProviderSettings) -> Result<Self, SettingError> {
        let url: ServiceUrl = settings.url.parse()?;
        let authority = settings.authority.clone();
        if let Some(bearer) = &settings.bearer {
            check_bearer(bearer)?;
        }
        Ok(Self {
            upstream: Upstream::foreign(NAME, url, authority, Afterwards::Kept)?,
            bearer: settings.bearer.clone(),
        })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: PaymentId,
        body: &impl Serialize,
        counts: &[StatusCode],
    ) -> Result<T, Unavailable> {
        let mut call = Call::post(path)
            .header(IDEMPOTENCY_KEY, key.to_string())
            .json(body);
        if let Some(bearer) = &self.bearer {
            call = call.bearer(bearer);
        }
        let options = CallOptions::once(CALL_MAX);
        let answer = self.upstream.send(call, options, ANSWER_BYTES_MAX).await;
        let answer = answer
            .and_then(|answer| answer.expect(counts))
            .map_err(unavailable)?;
        read(&answer)
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Unavailable> {
    let status = answer.status;
    answer
        .json()
        .map_err(|error| Unavailable::NotUnderstood(format!("its answer {status} {error}")))
}

fn unavailable(error: CallError) -> Unavailable {
    match error {
        CallError::NotSent { why, .. } => Unavailable::NotReached(why),
        CallError::Unknown { why, .. } => Unavailable::Failed(why),
        CallError::Answered { status, .. } => {
            let why = format!("it answered {status}");
            match status {
                StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS => Unavailable::Failed(why),
                _ if status.is_server_error() => Unavailable::Failed(why),
                _ => Unavailable::NotUnderstood(why),
            }
        }
    }
}

#[async_trait]
impl PaymentProvider for HttpProvider {
    async fn charge(&self, charge: &Charge) -> Result<ChargeOutcome, Unavailable> {
        let body = ChargeRequest {
            amount: charge.amount,
            token: charge.token.as_str(),
        };
        let counts = [
            StatusCode::OK,
            StatusCode::CREATED,
            StatusCode::PAYMENT_REQUIRED,
            StatusCode::CONFLICT,
        ];
        let answer = self
            .post("/charges", charge.payment_id, &body, &counts)
            .await?;
        Ok(match answer {
            ChargeAnswer::Charged { reference } => ChargeOutcome::Charged {
                reference: checked(reference)?,
            },
            ChargeAnswer::Declined { reason } => ChargeOutcome::Declined {
                reason: line(&reason),
            },
            ChargeAnswer::Voided => ChargeOutcome::Declined {
                reason: "refunded before it was charged".to_owned(),
            },
        })
    }

    async fn refund(&self, refund: &Refund) -> Result<RefundOutcome, Unavailable> {
        let body = RefundRequest {
            amount: refund.amount,
            charged: refund.charged.as_deref(),
        };
        let path = format!("/charges/{}/refund", refund.payment_id);
        let counts = [StatusCode::OK, StatusCode::CREATED];
        Ok(
            match self.post(&path, refund.payment_id, &body, &counts).await? {
                RefundAnswer::Refunded { reference } => RefundOutcome::Refunded {
                    reference: checked(reference)?,
                },
                RefundAnswer::NothingCharged => RefundOutcome::NothingCharged,
            },
        )
    }
}

#[derive(Serialize)]
struct ChargeRequest<'a> {
    amount: Money,
    token: &'a str,
}

#[derive(Serialize)]
struct RefundRequest<'a> {
    amount: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    charged: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
enum ChargeAnswer {
    Charged { reference: String },
    Declined { reason: String },
    Voided,
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
enum RefundAnswer {
    Refunded { reference: String },
    NothingCharged,
}

/// Said before the first charge, and not by it.
fn check_bearer(token: &SecretString) -> Result<(), SettingError> {
    let is_header = token
        .expose_secret()
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~'));
    match is_header {
        true => Ok(()),
        false => Err(SettingError::new(
            "a bearer token must be visible ASCII characters",
        )),
    }
}

fn checked(reference: String) -> Result<String, Unavailable> {
    if (1..=REFERENCE_CHARS_MAX).contains(&reference.chars().count())
        && !reference.chars().any(char::is_control)
    {
        return Ok(reference);
    }
    Err(Unavailable::NotUnderstood(format!(
        "its reference is not 1 to {REFERENCE_CHARS_MAX} printable characters"
    )))
}
