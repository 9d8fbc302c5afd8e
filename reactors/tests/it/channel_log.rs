//! The log channel.

use std::io::Write;
use std::sync::{Arc, Mutex};

use reactors::channel::{Channel, LogChannel, SendError};
use tracing::Level;

use crate::messages::message_to;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_message_is_one_line_that_says_nothing_personal() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let message = message_to("ada");
    {
        let _logged_here = tracing::subscriber::set_default(subscriber);
        LogChannel.send(&message).await.unwrap();
    }

    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
    let fields = &line["fields"];
    assert_eq!(fields["message"], "notification");
    assert_eq!(fields["notification_id"], message.id.as_str());
    assert_eq!(fields["event_type"], "order.scheduled");
    assert_eq!(fields["user_id"], message.recipient.user_id.to_string());
    for personal in ["ada", "example.org", "Bestellung", "slot"] {
        assert!(!text.contains(personal), "{personal}: {text}");
    }
}

#[tokio::test]
async fn what_no_channel_may_send_is_refused() {
    let ok = message_to("ada");
    let mut dotted = ok.clone();
    dotted.id = "a.b".to_owned();
    let mut nameless = ok.clone();
    nameless.id = String::new();
    let mut injected = ok.clone();
    injected.subject = "Hello\r\nBcc: mallory@example.org".to_owned();
    let mut endless = ok.clone();
    endless.body = "x".repeat(64 * 1024 + 1);
    for message in [dotted, nameless, injected, endless] {
        let refused = LogChannel.send(&message).await;
        assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    }
}
