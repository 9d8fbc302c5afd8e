//! What a user says of themselves is in force elsewhere a moment later: in what they are told, and in what is counted.

use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use reqwest::Method;
use serde_json::{Value, json};
use testing::until;

use crate::api::Api;
use crate::process::{DataDirectory, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
const CUSTOMER: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery staple";
/// Until somebody is told, on a busy machine.
const TOLD_MAX: Duration = Duration::from_secs(30);

async fn shop(settings: Settings) {
    let directory = DataDirectory::new();
    let database = testing::database().await;
    let mut up = settings
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
        .start("up --port 0 --no-seed");
    let visitor = Api::new(&up.ready().await);
    let staff = visitor.logged_in(ADMINISTRATOR, PASSWORD).await;
    let body = json!({"email": CUSTOMER, "name": "Ada", "password": PASSWORD});
    let registered = visitor.post("/users/register", &[], &body).await;
    let id = registered.expect(201).body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let customer = visitor.logged_in(CUSTOMER, PASSWORD).await;

    // By the preferences of the moment at which it is told.
    until("the greeting is told", TOLD_MAX, async || {
        let greeted = told_at(&staff, &id, "user.registered", "email").await;
        greeted.is_some()
    })
    .await;
    let mail = json!({"email": true, "webhook": false, "log": false});
    let log = json!({"email": false, "webhook": false, "log": true});
    let preferences = json!({"order": mail, "payment": mail, "delivery": mail, "account": log});
    let path = format!("/api/v1/users/{id}/notification-preferences");
    let chosen = customer.send(Method::PUT, &path, &[], Some(&preferences));
    let chosen = chosen.await.expect(200);
    let name = json!({"name": "Ada Lovelace"});
    let path = format!("/users/{id}/update-profile");
    let updated = customer.post(&path, &[], &name).await.expect(200);

    // The counts wait for the very position of the change.
    for (position, updates) in [(chosen.position(), None), (updated.position(), Some(1))] {
        let counted = staff.get("/analytics/customers", &from(position)).await;
        let counted = counted.expect(200).body;
        assert_eq!(counted["with_chosen_preferences"], 1, "{counted}");
        let account = &counted["notification_preferences"]["account"];
        assert_eq!((&account["log"], &account["email"]), (&json!(1), &json!(0)));
        if let Some(updates) = updates {
            assert_eq!(counted["profile_updates"], updates, "{counted}");
        }
    }

    // The message is sent after the change, by a reactor: its own position is what a reader waits for.
    let mut seen = None;
    until("the change is told", TOLD_MAX, async || {
        seen = told_at(&staff, &id, "user.updated", "log").await;
        seen.is_some()
    })
    .await;
    let position = seen.unwrap().to_string();
    let headers = from(&position);
    let told = customer.get("/users/me/notifications", &headers).await;
    let told = told.expect(200).body;
    let told = told["items"].as_array().unwrap();
    let of = |about: &str| -> Vec<(&str, &str)> {
        let about = told.iter().filter(|it| it["about"] == about);
        about
            .map(|it| {
                (
                    it["channel"].as_str().unwrap(),
                    it["status"].as_str().unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(of("user.updated"), [("log", "sent")]);
    assert_eq!(of("user.registered"), [("email", "sent")]);
    up.stop(SIGTERM).await;
}

fn from(position: &str) -> [(&str, &str); 2] {
    [("Nakku-Min-Position", position), ("Prefer", "wait=10")]
}

/// Where the log says that a user was told of their last event of a type through a channel.
async fn told_at(staff: &Api, user_id: &str, event_type: &str, channel: &str) -> Option<i64> {
    let path = format!("/admin/streams/user/{user_id}");
    let events = staff.get(&path, &[]).await.expect(200).body;
    let events = events["items"].as_array().unwrap();
    let event = events.iter().rfind(|event| event["type"] == event_type)?;
    let id = event["id"].as_str()?;
    let path = format!("/admin/streams/notification/{id}:{channel}");
    let steps = staff.get(&path, &[]).await.body;
    let is_sent = |step: &&Value| step["type"] == "notification.sent";
    let sent = steps["items"].as_array()?.iter().find(is_sent)?;
    sent["position"].as_i64()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_prefers_is_in_force_elsewhere_on_the_embedded_feed() {
    shop(Settings::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_prefers_is_in_force_elsewhere_over_kafka() {
    let settings = Settings::default()
        .with("KAFKA_BROKERS", testing::kafka_brokers())
        .with("NAKKU_TOPIC_PREFIX", testing::topic_prefix())
        .with("NAKKU_TOPIC_PARTITIONS", "2");
    shop(settings).await;
}
