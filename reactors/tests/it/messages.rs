//! A message for the tests of every channel.

use domain::UserId;
use reactors::channel::{Message, Recipient};
use serde_json::json;
use uuid::Uuid;

/// To `WHO@example.org`, with an id of its own.
pub fn message_to(who: &str) -> Message {
    Message {
        id: format!("{}:email", Uuid::now_v7()),
        recipient: Recipient {
            user_id: UserId::new(Uuid::now_v7()),
            email: Some(format!("{who}@example.org").parse().unwrap()),
        },
        subject: "Deine Bestellung ist unterwegs – 12,99 €".to_owned(),
        body: "Grüße!\n\nDeine Bestellung kommt um 5.\n.\nEin Punkt allein ist kein Ende.\n"
            .to_owned(),
        event_type: "order.scheduled".to_owned(),
        occurred_at: "2026-11-23T05:00:00.25Z".parse().unwrap(),
        data: json!({"order_id": "0198f000-0000-7000-8000-000000000001", "slot": "2026-11-23T05:00:00Z"}),
    }
}
