//! The end of a process: what is under way is finished, and what became of it is known afterwards.

use std::time::Duration;

use nix::sys::signal::Signal::SIGTERM;
use reqwest::Method;
use serde_json::json;
use sqlx::PgPool;
use testing::until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::api::Api;
use crate::process::{DataDirectory, STOP_MAX, Settings};

const PASSWORD: &str = "correct horse battery staple";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Until somebody is told, on a busy machine.
const TOLD_MAX: Duration = Duration::from_secs(30);
/// How long the receiver thinks, once the process has begun to end: less than it has to finish.
const THINKS: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_message_under_way_at_the_end_is_known_as_sent() {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", receiver.local_addr().unwrap());
    let directory = DataDirectory::new();
    let database = testing::database().await;
    let mut up = Settings::default()
        .with("DATABASE_URL", &database.url)
        .with("NAKKU_DATA_DIR", directory.path())
        .with("NAKKU_ADMIN_PASSWORD", PASSWORD)
        .with("NAKKU_WEBHOOK_URL", hook)
        .with("NAKKU_WEBHOOK_SECRET", SECRET)
        .start("up --port 0 --no-seed");
    let url = up.ready().await;
    prefers_the_web_hook(&Api::new(&url), &database.pool).await;

    let (mut call, _) = timeout(TOLD_MAX, receiver.accept()).await.unwrap().unwrap();
    let mut request = [0; 1_024];
    assert!(call.read(&mut request).await.unwrap() > 0);
    up.signal(SIGTERM);
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let closed = async || TcpStream::connect(address).await.is_err();
    until("its port is closed", STOP_MAX, closed).await;
    sleep(THINKS).await;
    call.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
        .await
        .unwrap();
    assert!(up.ended().await.success());

    let events: Vec<String> = sqlx::query_scalar(
        "select event_type from events
         where aggregate_type = 'notification' and aggregate_id like '%:webhook' order by position",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(events, ["notification.attempted", "notification.sent"]);
}

async fn prefers_the_web_hook(visitor: &Api, pool: &PgPool) {
    let email = "ada@example.org";
    let body = json!({"email": email, "name": "Ada", "password": PASSWORD});
    let registered = visitor.post("/users/register", &[], &body).await;
    let registered = registered.expect(201).body;
    let id = registered["id"].as_str().unwrap();
    let customer = visitor.logged_in(email, PASSWORD).await;
    // Of the greeting it is decided by then how it is told.
    until("the greeting is sent", TOLD_MAX, async || {
        let sent = "select exists (select from events where event_type = 'notification.sent')";
        sqlx::query_scalar(sent).fetch_one(pool).await.unwrap()
    })
    .await;
    let mail = json!({"email": true, "webhook": false, "log": false});
    let hook = json!({"email": false, "webhook": true, "log": false});
    let preferences = json!({"order": mail, "payment": mail, "delivery": mail, "account": hook});
    let path = format!("/api/v1/users/{id}/notification-preferences");
    let chosen = customer.send(Method::PUT, &path, &[], Some(&preferences));
    chosen.await.expect(200);
}
