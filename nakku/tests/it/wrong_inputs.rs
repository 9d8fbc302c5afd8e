//! Whatever a client sends wrong is told what and where, by a problem of 4xx, and leaves no trace in the log.

mod bodies;
mod heads;
mod tokens;

use std::sync::Mutex;

use nix::sys::signal::Signal::SIGTERM;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::api::Api;
use crate::process::{DataDirectory, Nakku, START_MAX, Settings};

const ADMINISTRATOR: &str = "admin@nakku.local";
const PASSWORD: &str = "correct horse battery";
/// Of nobody and nothing.
const NO_ID: &str = "01a205c1-0000-7000-8000-000000000000";

/// A running shop and those who ask it.
struct Shop {
    url: String,
    client: Client,
    admin: Api,
    customer: Api,
    /// The customer's.
    user: String,
    directory: DataDirectory,
}

impl Shop {
    async fn open() -> (Shop, Nakku) {
        let directory = DataDirectory::new();
        let settings = Settings::default()
            .with("NAKKU_DATA_DIR", directory.path())
            .with("NAKKU_ADMIN_PASSWORD", PASSWORD);
        let mut up = settings.start("up --port 0 --no-seed");
        let url = up.ready().await;
        let visitor = Api::new(&url);
        let ada = json!({"email": "ada@example.org", "name": "Ada", "password": PASSWORD});
        let registered = visitor.post("/users/register", &[], &ada).await.expect(201);
        let shop = Shop {
            // A server may close a connection after a body that it did not read: no request is to be sent into that.
            client: Client::builder().pool_max_idle_per_host(0).build().unwrap(),
            admin: visitor.logged_in(ADMINISTRATOR, PASSWORD).await,
            customer: visitor.logged_in("ada@example.org", PASSWORD).await,
            user: registered.body["id"].as_str().unwrap().to_owned(),
            url,
            directory,
        };
        // What is told of the registration is an event, too.
        testing::until("the greeting is told", START_MAX, async || {
            let told = shop.customer.get("/users/me/notifications", &[]).await;
            told.body["items"][0]["status"] == "sent"
        })
        .await;
        (shop, up)
    }

    /// The newest position of the log.
    async fn head(&self) -> i64 {
        let outbox = self.admin.get("/admin/outbox", &[]).await.expect(200);
        outbox.body["head"].as_i64().unwrap()
    }

    /// A request of the administrator's, with a key where one may be needed.
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(self.admin.token().unwrap())
    }

    fn post_json(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.ask(Method::POST, path)
            .header("idempotency-key", "wrong-1")
            .header("content-type", "application/json")
            .body(body)
    }
}

/// What a refusal said. What it should have said and did not is kept, to be told at once in the end.
struct Refusal {
    what: String,
    status: u16,
    body: Value,
}

/// All that was not as it must be.
static COMPLAINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Refusal {
    /// The answer to a wrong request: a problem of 4xx that says what is wrong.
    async fn of(what: impl Into<String>, request: RequestBuilder) -> Refusal {
        let what = what.into();
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let status = response.status().as_u16();
        let media_type = response.headers().get("content-type").cloned();
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let refusal = Refusal { what, status, body };
        let body = &refusal.body;
        let code = body["code"].as_str().unwrap_or_default();
        let is_told = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
        let errors = body["errors"].as_array();
        refusal.check("is a refusal", (400..500).contains(&status));
        refusal.check(
            "is a problem",
            media_type.is_some_and(|media_type| media_type == "application/problem+json"),
        );
        refusal.check("says its status", body["status"] == status);
        refusal.check("has a type", body["type"] == format!("/problems/{code}"));
        refusal.check(
            "has a trace",
            body["trace_id"].as_str().map(str::len) == Some(32),
        );
        refusal.check("says what it is", is_told("title") && is_told("detail"));
        refusal.check(
            "says what is wrong at each place",
            errors
                .into_iter()
                .flatten()
                .all(|error| error["detail"].is_string()),
        );
        refusal
    }

    fn check(&self, what: &str, holds: bool) {
        if !holds {
            let asked: String = self.what.chars().take(300).collect();
            let complaint = format!("{asked}\n  not so: {what}: {} {}", self.status, self.body);
            COMPLAINTS.lock().unwrap().push(complaint);
        }
    }

    fn is(self, status: u16, code: &str) -> Refusal {
        let is_so = self.status == status && self.body["code"] == code;
        self.check(&format!("{status} {code}"), is_so);
        self
    }

    /// What is said names this.
    fn says(self, part: &str) -> Refusal {
        let detail = self.body["detail"].as_str().unwrap_or_default();
        self.check(&format!("says `{part}`"), detail.contains(part));
        self
    }

    /// This member is pointed at, or one inside.
    fn points_at(self, pointer: &str) -> Refusal {
        let mut errors = self.body["errors"].as_array().into_iter().flatten();
        let is_there = errors.any(|error| {
            let at = error["pointer"].as_str().unwrap_or_default();
            at.strip_prefix(pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        self.check(&format!("points at {pointer}"), is_there);
        self
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_inputs_are_told_what_is_wrong_and_leave_no_trace() {
    let (shop, mut up) = Shop::open().await;
    let before = shop.head().await;
    assert!(before > 0, "there are users");

    bodies::every_command_refuses_what_its_schema_does_not_know(&shop).await;
    bodies::what_is_not_json_is_said_to_be_none(&shop).await;
    bodies::values_that_break_a_rule_are_pointed_at(&shop).await;
    heads::headers_are_read_or_refused(&shop).await;
    heads::paths_and_queries_are_read_or_refused(&shop).await;
    heads::what_is_not_http_is_closed(&shop).await;
    tokens::only_tokens_that_hold_are_accepted(&shop).await;
    tokens::what_belongs_to_others_is_not_there(&shop).await;

    let complaints = COMPLAINTS.lock().unwrap().clone();
    assert!(
        complaints.is_empty(),
        "{} complaints\n{}",
        complaints.len(),
        complaints.join("\n")
    );
    assert_eq!(shop.head().await, before, "something was appended");
    up.stop(SIGTERM).await;
}
