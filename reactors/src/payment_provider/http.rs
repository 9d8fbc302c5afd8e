//! A provider behind HTTP, by the protocol of `docs/payments.md`.

use async_trait::async_trait;
use domain::{Money, PaymentId};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Charge, ChargeOutcome, PaymentProvider, Refund, RefundOutcome, Unavailable};
use crate::outward::{
    Afterwards, CertificateAuthority, SettingError, http_client, http_error, http_url, line,
};

/// An answer is a few words; what is longer is not one.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A provider's name for a charge is kept in an event.
const REFERENCE_CHARS_MAX: usize = 200;
/// Carries the payment's id.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

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
    client: Client,
    charges: Url,
    authorization: Option<HeaderValue>,
}

impl HttpProvider {
    /// A client for the provider; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is no plain HTTP address, the bearer token does not fit a header, or the system has no
    /// certificates to trust.
    pub fn new(settings: &HttpProviderSettings) -> Result<Self, SettingError> {
        let base = http_url(&settings.url)?;
        let client = http_client(&base, settings.authority.as_ref(), Afterwards::Kept)?;
        let mut charges = base;
        charges
            .path_segments_mut()
            .map_err(|()| SettingError::new("must be an address like https://example.org/path"))?
            .pop_if_empty()
            .push("charges");
        Ok(Self {
            client,
            charges,
            authorization: settings.bearer.as_ref().map(bearer).transpose()?,
        })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        url: Url,
        key: PaymentId,
        body: &impl Serialize,
        counts: &[StatusCode],
    ) -> Result<T, Unavailable> {
        let mut request = self
            .client
            .post(url)
            .header(IDEMPOTENCY_KEY, key.to_string())
            .json(body);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let mut response = request.send().await.map_err(|error| {
            if error.is_connect() {
                Unavailable::NotReached(http_error(error))
            } else {
                Unavailable::Failed(http_error(error))
            }
        })?;
        let status = response.status();
        if counts.contains(&status) {
            return serde_json::from_slice(&body_of(&mut response).await?).map_err(|error| {
                Unavailable::NotUnderstood(format!("its answer {status} is unreadable: {error}"))
            });
        }
        Err(match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Unavailable::Failed(format!("it answered {status}"))
            }
            _ if status.is_server_error() => Unavailable::Failed(format!("it answered {status}")),
            _ => Unavailable::NotUnderstood(format!("it answered {status}")),
        })
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
            .post(self.charges.clone(), charge.payment_id, &body, &counts)
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
        let mut url = self.charges.clone();
        url.path_segments_mut()
            .expect("checked when it was made")
            .extend([refund.payment_id.to_string().as_str(), "refund"]);
        let counts = [StatusCode::OK, StatusCode::CREATED];
        Ok(
            match self.post(url, refund.payment_id, &body, &counts).await? {
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

fn bearer(token: &SecretString) -> Result<HeaderValue, SettingError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
        .map_err(|_| SettingError::new("a bearer token must be visible ASCII characters"))?;
    // Kept out of what is logged.
    value.set_sensitive(true);
    Ok(value)
}

async fn body_of(response: &mut Response) -> Result<Vec<u8>, Unavailable> {
    let mut body = Vec::new();
    // Cut off on the way: the answer is lost, and asking again brings the same one.
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| Unavailable::Failed(http_error(error)))?
    {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Unavailable::NotUnderstood(format!(
                "its answer is longer than {ANSWER_BYTES_MAX} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
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
