//! One call of the shop's web hook a message, signed by Standard Webhooks.

mod secret;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::UserId;
use http::{HeaderName, StatusCode};
use http_client::{
    Afterwards, Call, CallError, CallOptions, CertificateAuthority, ServiceUrl, SettingError,
    Upstream,
};
use serde::Serialize;
use serde_json::Value;

use super::{Channel, Message, SendError};

pub use secret::WebhookSecret;

/// Calls under way at once: a slow receiver, not many of them.
const CALLS_AT_ONCE: usize = 32;

/// As the channel's client calls it.
const NAME: &str = "webhook";
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Nothing is made of an answer's body; reading a short one to its end is politeness.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// Receivers are asked to answer first and to work afterwards.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bodies beyond this are commonly refused by what stands before a receiver.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// Where the web hook is.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// `http` or `https`; nothing is put behind it.
    pub url: String,
    /// What calls are signed with.
    pub secret: WebhookSecret,
    /// Trusted besides the system's.
    pub authority: Option<CertificateAuthority>,
    /// Of one call, with connecting.
    pub deadline: Duration,
}

impl WebhookSettings {
    /// A web hook with the deadline of production (10 s), trusting whom the system trusts.
    pub fn new(url: impl Into<String>, secret: WebhookSecret) -> Self {
        Self {
            url: url.into(),
            secret,
            authority: None,
            deadline: DEADLINE,
        }
    }
}

/// Calls the web hook: `POST`, JSON, headers `webhook-id`, `webhook-timestamp`, `webhook-signature`.
#[derive(Debug, Clone)]
pub struct WebhookChannel {
    upstream: Upstream,
    secret: WebhookSecret,
    deadline: Duration,
}

impl WebhookChannel {
    /// A client for the web hook; nothing is sent yet.
    ///
    /// # Errors
    /// When the address is no plain HTTP address, or the system has no certificates to trust.
    pub fn new(settings: &WebhookSettings) -> Result<Self, SettingError> {
        let url: ServiceUrl = settings.url.parse()?;
        let authority = settings.authority.clone();
        Ok(Self {
            upstream: Upstream::foreign(NAME, url, authority, Afterwards::Closed)?,
            secret: settings.secret.clone(),
            deadline: settings.deadline,
        })
    }
}

#[async_trait]
impl Channel for WebhookChannel {
    fn name(&self) -> &'static str {
        "webhook"
    }

    fn at_once(&self) -> usize {
        CALLS_AT_ONCE
    }

    async fn send(&self, message: &Message) -> Result<(), SendError> {
        message.check()?;
        let body = body(message)?;
        // Of this attempt, not of the event: receivers refuse what is old, as a copy sent by a stranger.
        let timestamp = Utc::now().timestamp();
        let signature = self.secret.sign(&message.id, timestamp, &body);
        let call = Call::post("/")
            .header(ID, &message.id)
            .header(TIMESTAMP, timestamp.to_string())
            .header(SIGNATURE, signature)
            .body("application/json", body);
        let options = CallOptions::once(self.deadline);
        match self.upstream.send(call, options, ANSWER_BYTES_MAX).await {
            Ok(answer) => judged(answer.status),
            Err(CallError::NotSent { why, .. }) => Err(SendError::NotSent(why)),
            Err(CallError::Unknown { why, .. }) => Err(SendError::Unknown(why)),
            Err(CallError::Answered { status, .. }) => judged(status),
        }
    }
}

/// What the receiver's answer means; its body means nothing.
fn judged(status: StatusCode) -> Result<(), SendError> {
    let answered = format!("the web hook answered {status}");
    match status {
        _ if status.is_success() => Ok(()),
        // It says that it did not take this one, and may take it later.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(SendError::NotSent(answered))
        }
        _ if status.is_server_error() => Err(SendError::NotSent(answered)),
        // Redirects too: a signed message goes where the operator said.
        _ => Err(SendError::Refused(answered)),
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: String,
    user_id: UserId,
    data: &'a Value,
}

fn body(message: &Message) -> Result<Vec<u8>, SendError> {
    let payload = Payload {
        r#type: &message.event_type,
        timestamp: rfc3339(message.occurred_at),
        user_id: message.recipient.user_id,
        data: &message.data,
    };
    let body = serde_json::to_vec(&payload).expect("plain data");
    if body.len() > BODY_BYTES_MAX {
        return Err(SendError::Refused(format!(
            "the body is longer than {BODY_BYTES_MAX} bytes"
        )));
    }
    Ok(body)
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}
