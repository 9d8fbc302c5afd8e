//! The web hook, against a receiver that verifies with the library of Standard Webhooks.

use std::time::Duration;

use reactors::CertificateAuthority;
use reactors::channel::{Channel, SendError, WebhookChannel, WebhookSettings};
use tempfile::TempDir;
use testing::WebhookReceiver;
use tokio::net::TcpListener;

use crate::messages::message_to;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn receiver() -> (WebhookReceiver, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (WebhookReceiver::start(dir.path(), SECRET), dir)
}

fn settings(url: String) -> WebhookSettings {
    WebhookSettings::new(url, SECRET.parse().unwrap())
}

fn channel(url: String) -> WebhookChannel {
    WebhookChannel::new(&settings(url)).unwrap()
}

#[tokio::test]
async fn a_call_is_signed_and_says_what_happened() {
    let (receiver, _dir) = receiver();
    let message = message_to("ada");
    let channel = channel(receiver.url("/status/204"));
    channel.send(&message).await.unwrap();

    let calls = receiver.calls();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}");
    };
    assert!(call.verified, "{call:?}");
    assert_eq!(call.headers["webhook-id"], message.id);
    assert_eq!(call.headers["content-type"], "application/json");
    assert_eq!(call.body["type"], "order.scheduled");
    assert_eq!(call.body["timestamp"], "2026-11-23T05:00:00.250000Z");
    assert_eq!(call.body["user_id"], message.recipient.user_id.to_string());
    assert_eq!(call.body["data"], message.data);
    assert!(!call.body.to_string().contains("ada@example.org"));
}

#[tokio::test]
async fn a_call_signed_with_another_secret_is_not_believed() {
    let (receiver, _dir) = receiver();
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
    let settings = WebhookSettings::new(receiver.url("/status/200"), other.parse().unwrap());
    let channel = WebhookChannel::new(&settings).unwrap();
    channel.send(&message_to("ada")).await.unwrap();
    assert!(!receiver.calls()[0].verified);
}

#[tokio::test]
async fn an_answer_says_whether_to_send_again() {
    let (receiver, _dir) = receiver();
    for status in ["200", "201", "202", "299"] {
        let url = receiver.url(&format!("/status/{status}"));
        channel(url).send(&message_to("ada")).await.unwrap();
    }
    for status in ["400", "401", "404", "410", "422"] {
        let url = receiver.url(&format!("/status/{status}"));
        let result = channel(url).send(&message_to("ada")).await;
        assert!(
            matches!(&result, Err(SendError::Refused(text)) if text.contains(status)),
            "{result:?}"
        );
    }
    for status in ["408", "425", "429", "500", "502", "503", "504"] {
        let url = receiver.url(&format!("/status/{status}"));
        let result = channel(url).send(&message_to("ada")).await;
        assert!(
            matches!(&result, Err(SendError::NotSent(text)) if text.contains(status)),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (receiver, _dir) = receiver();
    let result = channel(receiver.url("/redirect"))
        .send(&message_to("ada"))
        .await;
    assert!(matches!(result, Err(SendError::Refused(_))), "{result:?}");
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn a_call_without_an_answer_may_have_arrived() {
    let (receiver, _dir) = receiver();
    let cut = channel(receiver.url("/cut")).send(&message_to("ada")).await;
    assert!(matches!(cut, Err(SendError::Unknown(_))), "{cut:?}");

    let impatient = WebhookSettings {
        deadline: Duration::from_secs(3),
        ..settings(receiver.url("/silent"))
    };
    let channel = WebhookChannel::new(&impatient).unwrap();
    let silent = channel.send(&message_to("ada")).await;
    assert!(matches!(silent, Err(SendError::Unknown(_))), "{silent:?}");
    let text = silent.unwrap_err().to_string();
    assert!(!text.contains("/silent"), "{text}");
}

#[tokio::test]
async fn a_receiver_that_is_down_got_nothing() {
    let (mut receiver, _dir) = receiver();
    let channel = channel(receiver.url("/status/200"));
    // No connection of the first call may be left over for the second: over a dead one nobody knows what arrived.
    channel.send(&message_to("ada")).await.unwrap();
    receiver.kill();
    let down = channel.send(&message_to("ada")).await;
    assert!(matches!(down, Err(SendError::NotSent(_))), "{down:?}");
}

#[tokio::test]
async fn tls_is_spoken_with_whom_is_trusted_only() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = WebhookReceiver::start_with_tls(dir.path(), SECRET);
    let url = receiver.url("/status/200");
    let stranger = channel(url.clone()).send(&message_to("ada")).await;
    assert!(
        matches!(stranger, Err(SendError::NotSent(_))),
        "{stranger:?}"
    );
    assert_eq!(receiver.calls(), []);

    let trusting = WebhookSettings {
        authority: Some(CertificateAuthority::new(receiver.authority()).unwrap()),
        ..settings(url)
    };
    let channel = WebhookChannel::new(&trusting).unwrap();
    channel.send(&message_to("ada")).await.unwrap();
    assert!(receiver.calls()[0].verified);
}

#[tokio::test]
async fn a_server_that_never_gets_to_tls_got_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let result = channel(url).send(&message_to("ada")).await;
    assert!(matches!(result, Err(SendError::NotSent(_))), "{result:?}");
}

#[test]
fn an_address_is_checked_when_it_is_set() {
    for url in ["", "hook.example.org", "ftp://hook.example.org/"] {
        let error = WebhookChannel::new(&settings(url.to_owned())).unwrap_err();
        assert!(
            error.to_string().starts_with("must be an address"),
            "{error}"
        );
    }
}
